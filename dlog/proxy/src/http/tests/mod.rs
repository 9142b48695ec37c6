mod append;
mod contract;
mod drain;
mod guard;
mod hostile;
mod kit;
mod streams;
mod tail;
