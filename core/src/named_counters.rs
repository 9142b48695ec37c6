/// Defines counters that can be iterated with their names.
macro_rules! named_counters {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])+ pub $field:ident: u64,)+
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$doc])+ pub $field: u64,)+
        }

        impl $name {
            /// Returns the counters with their names, in the order in which they are defined.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($field), self.$field),)+].into_iter()
            }
        }

        /// The sums of single counters, which wrap around as they do.
        impl core::ops::Add for $name {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self {
                    $($field: self.$field.wrapping_add(other.$field),)+
                }
            }
        }
    };
}

pub(crate) use named_counters;
