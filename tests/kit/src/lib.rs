//! Virtual clock, scripted and faulty transports for tests of code that writes through the multi stream writer.
