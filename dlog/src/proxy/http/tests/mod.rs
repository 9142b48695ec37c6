mod append;
mod drain;
mod guard;
mod hostile;
mod kit;
mod streams;
mod tail;
