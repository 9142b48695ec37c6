//! Makes settings from the rows of a table.

/// Makes the settings of a machine from rows.
///
/// A row: documentation, name, type, `= by_hand` if the builder's method is written elsewhere,
/// `from` what that method takes if it is another type, default, what the original does if that
/// differs, unit and range. The struct in front has a field for each row; what else is made of the
/// rows stands in the lines that begin with `make`, each an arm of this macro.
///
/// Exported for the crates of this workspace, which have machines of their own. It is not part of
/// the interface: it may change in any version.
#[doc(hidden)]
#[macro_export]
macro_rules! settings_table {
    (@fields ($field:vis) $(#[$meta:meta])* $vis:vis struct $table:ident { $([
        ($($doc:literal)+) $name:ident ($type:ty) $how:tt $default:tt $original:tt
            ($unit:ident $($range:tt)+)
    ])* }) => {
        $(#[$meta])*
        $vis struct $table { $(
            $(#[doc = $doc])+
            #[doc = concat!(
                "\n\nDefault: ", $crate::setting_text!($default),
                ". Valid: ", stringify!($($range)+), "."
            )]
            $field $name: $type,
        )* }
    };
    // `rows (pub const ROWS of Settings)`: the rows themselves.
    (@rows $table:ident ($vis:vis const $rows:ident of $target:ident) { $([
        $doc:tt $name:ident $type:tt $how:tt $default:tt $original:tt $range:tt
    ])* }) => {
        impl $target {
            /// Rows of all settings.
            $vis const $rows: &'static [$crate::settings::SettingRow] =
                &[$($crate::setting_row!(stringify!($name), $doc, $default, $range),)*];
        }
    };
    // `default (const DEFAULT)`: a constant with the defaults.
    (@default $table:ident ($vis:vis const $constant:ident) { $([
        $doc:tt $name:ident $type:tt $how:tt $default:tt $original:tt $range:tt
    ])* }) => {
        impl $table {
            $vis const $constant: Self = Self { $($name: $crate::setting_value!($default),)* };
        }
    };
    // `defaults (fn defaults(folder: PathBuf))`: a function, for defaults that are no constants.
    (@defaults $table:ident ($($fn:tt)+) { $([
        $doc:tt $name:ident $type:tt $how:tt $default:tt $original:tt $range:tt
    ])* }) => {
        impl $table {
            $($fn)+ -> Self {
                Self { $($name: $crate::setting_value!($default),)* }
            }
        }
    };
    // `original (const ORIGINAL)`: a constant with the original's values.
    (@original $table:ident ($vis:vis const $constant:ident) { $([
        $doc:tt $name:ident $type:tt $how:tt $default:tt $original:tt $range:tt
    ])* }) => {
        impl $table {
            $vis const $constant: Self =
                Self { $($name: $crate::settings_table!(@or $default $original),)* };
        }
    };
    (@or $default:tt ()) => { $crate::setting_value!($default) };
    (@or $default:tt $original:tt) => { $crate::setting_value!($original) };
    // `checks (const fn check_rows)`: the check of each setting against its range.
    (@checks $table:ident ($($fn:tt)+) { $([
        $doc:tt $name:ident $type:tt $how:tt $default:tt $original:tt $range:tt
    ])* }) => {
        impl $table {
            $($fn)+(&self) -> Result<(), $crate::settings::SettingsError> {
                $($crate::check_setting!(self, stringify!($name), self.$name, $range);)*
                Ok(())
            }
        }
    };
    // `getters (of Settings in (0))`: methods of `Settings`, which has the struct in field 0; `()`
    // if it is the struct itself.
    (@getters $table:ident (of $target:ident in $at:tt) { $([
        $doc:tt $name:ident $type:tt $how:tt $default:tt $original:tt $range:tt
    ])* }) => {
        impl $target {
            $($crate::settings_table! { @getter $at $doc $name $type $how })*
        }
    };
    (@getter $at:tt $doc:tt $name:ident $type:tt (by_hand)) => {};
    (@getter ($($at:tt)?) ($($doc:literal)+) $name:ident ($type:ty) $how:tt) => {
        $(#[doc = $doc])+
        #[must_use]
        pub const fn $name(&self) -> $type {
            self $(.$at)? .$name
        }
    };
    // `setters ((const fn) of SettingsBuilder in (settings))`: the methods of the builder.
    (@setters $table:ident ($fn:tt of $target:ident in $at:tt) { $([
        $doc:tt $name:ident $type:tt $how:tt $default:tt $original:tt $range:tt
    ])* }) => {
        impl $target {
            $($crate::settings_table! { @setter $fn $at $doc $default $range $name $type $how })*
        }
    };
    (@setter $fn:tt $at:tt $doc:tt $default:tt $range:tt $name:ident $type:tt (by_hand)) => {};
    (@setter $fn:tt $at:tt $doc:tt $default:tt $range:tt $name:ident ($type:ty) ()) => {
        $crate::settings_table! { @setter $fn $at $doc $default $range $name $type, $name }
    };
    (@setter $fn:tt $at:tt $doc:tt $default:tt $range:tt $name:ident ($type:ty)
        (from $from:ty as $convert:expr)) => {
        $crate::settings_table! {
            @setter $fn $at $doc $default $range $name $from, $convert($name)
        }
    };
    (@setter ($($fn:tt)+) ($($at:tt)?) ($($doc:literal)+) $default:tt ($unit:ident $($range:tt)+)
        $name:ident $type:ty, $value:expr) => {
        $(#[doc = $doc])+
        #[doc = concat!(
            "\n\nDefault: ", $crate::setting_text!($default),
            ". Valid: ", stringify!($($range)+), "."
        )]
        pub $($fn)+ $name(mut self, $name: $type) -> Self {
            self $(.$at)? .$name = $value;
            self
        }
    };
    // `by_name (pub(super))`: methods that read and replace settings by their names.
    (@by_name $table:ident ($vis:vis) { $([
        $doc:tt $name:ident $type:tt $how:tt $default:tt $original:tt $range:tt
    ])* }) => {
        impl $table {
            /// Returns the value of the row of this name, `None` if there is no such row or if it
            /// has no value.
            #[inline]
            $vis fn row_value(&self, name: &str) -> Option<$crate::settings::SettingValue> {
                match name {
                    $(stringify!($name) => $crate::setting_by_name!(get self.$name, $range),)*
                    _ => None,
                }
            }

            /// Replaces the value of the row of this name; `None` if there is no such row.
            #[inline]
            $vis fn set_row(
                &mut self,
                name: &str,
                value: $crate::settings::SettingValue,
            ) -> Option<Result<(), $crate::settings::NoSuchSetting>> {
                $(if name == stringify!($name) {
                    return Some($crate::setting_by_name!(set self.$name, value, $range));
                })*
                None
            }
        }
    };
    // `named (SettingsBuilder in (settings))`: a `NamedSettings` that has the struct in its field
    // `settings`; `()` if it is the struct itself.
    (@named $table:ident ($target:ident in ($($at:tt)?)) $rows:tt) => {
        $crate::settings_table! { @by_name $table (pub(self)) $rows }

        impl $crate::settings::NamedSettings for $target {
            const ROWS: &'static [$crate::settings::SettingRow] = $table::ROWS;

            fn value(&self, name: &str) -> Option<$crate::settings::SettingValue> {
                self $(.$at)? .row_value(name)
            }

            fn set(
                &mut self,
                name: &str,
                value: $crate::settings::SettingValue,
            ) -> Result<(), $crate::settings::NoSuchSetting> {
                let done = self $(.$at)? .set_row(name, value);
                done.unwrap_or(Err($crate::settings::NoSuchSetting))
            }
        }
    };
    // `builder (SettingsBuilder)`: the builder of a struct that is valid by construction, and what
    // makes it.
    (@builder $table:ident ($builder:ident) $rows:tt) => {
        /// Collects settings; [`build`](Self::build) checks them.
        #[derive(Clone, Debug)]
        #[must_use = "a builder does nothing until it is built"]
        pub struct $builder {
            settings: $table,
            /// Refusal by a method.
            refused: Option<SettingsError>,
        }

        $crate::settings_table! { @default $table (const DEFAULT) $rows }
        $crate::settings_table! { @checks $table (fn check_rows) $rows }
        $crate::settings_table! { @getters $table (of $table in ()) $rows }
        $crate::settings_table! { @setters $table ((const fn) of $builder in (settings)) $rows }

        impl $table {
            /// Returns a builder with the defaults.
            pub const fn builder() -> $builder {
                $builder { settings: Self::DEFAULT, refused: None }
            }
        }

        impl Default for $table {
            fn default() -> Self {
                Self::builder().build().expect("the defaults are within their ranges")
            }
        }

        impl $builder {
            /// Checks the settings against their ranges and against each other.
            ///
            /// # Errors
            ///
            /// The first setting that is outside its range.
            pub fn build(self) -> Result<$table, SettingsError> {
                let Self { settings, refused } = self;
                if let Some(error) = refused {
                    return Err(error);
                }
                settings.check_rows()?;
                Ok(settings)
            }
        }
    };
    (@parts $(#[$meta:meta])* $vis:vis struct $table:ident { $field:vis }
        { $($part:ident $args:tt)* } $rows:tt) => {
        $crate::settings_table! { @fields ($field) $(#[$meta])* $vis struct $table $rows }
        $($crate::settings_table! { @$part $table $args $rows })*
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $table:ident { $field:vis }
        $(make $part:ident $args:tt;)*
        $(
            $(#[doc = $doc:literal])+
            $name:ident: $type:ty $(= $by_hand:ident)? $(, from $from:ty as $convert:expr)?,
                default $default:tt $(, original $original:tt)?, valid $range:tt;
        )*
    ) => {
        $crate::settings_table! {
            @parts $(#[$meta])* $vis struct $table { $field }
            { $($part $args)* }
            { $([
                ($($doc)+) $name ($type) ($($by_hand)? $(from $from as $convert)?)
                $default ($($original)?) $range
            ])* }
        }
    };
}
