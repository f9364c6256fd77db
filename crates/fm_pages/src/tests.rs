//! Pages over records in memory, asked for as a browser does.

mod bed;
mod changes;
mod reading;
mod rollouts;
