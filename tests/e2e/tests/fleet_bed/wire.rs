//! The network between a host and its server, which can be cut.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A way to a server that leads through here.
pub(crate) struct Wire {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    open: Vec<TcpStream>,
}

impl Wire {
    /// To the server at `url`.
    pub(crate) fn to(url: &str) -> Self {
        let server: SocketAddr = url.trim_start_matches("https://").parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // Whoever comes while it is cut is hung up on.
                let _ = join(near, server, &shared);
            }
        });
        Self { url, state }
    }

    /// From now on nothing passes.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().expect("its state");
        state.is_cut = true;
        for stream in state.open.drain(..) {
            // One that has ended is shut down already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// From now on everything passes again.
    pub(crate) fn mend(&self) {
        self.state.lock().expect("its state").is_cut = false;
    }
}

fn join(near: TcpStream, server: SocketAddr, state: &Mutex<State>) -> io::Result<()> {
    let mut state = state.lock().expect("its state");
    if state.is_cut {
        return near.shutdown(Shutdown::Both);
    }
    let far = TcpStream::connect(server)?;
    state.open.extend([near.try_clone()?, far.try_clone()?]);
    for (mut from, mut to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}
