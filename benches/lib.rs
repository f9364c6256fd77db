//! Speed, measured on real images: single parsers in `benches/`, whole processes in `areas/`.
