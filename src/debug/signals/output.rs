//! Writes to a file that may be closed, full or slow.

use core::ffi::c_int;
use core::fmt;

/// How long a file that takes nothing at the moment may go on so, in milliseconds.
const PATIENCE: c_int = 2000;

/// Writes to a file, as much as it takes. No error is reported: there is no place for that.
pub fn write(file: c_int, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the bytes are valid for reads.
        let written = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(0) => return,
            Ok(written) => bytes = bytes.get(written..).unwrap_or(&[]),
            Err(_) if is_to_be_tried_again(file) => {}
            Err(_) => return,
        }
    }
}

/// After an error: whether the file takes more after all.
fn is_to_be_tried_again(file: c_int) -> bool {
    match std::io::Error::last_os_error().kind() {
        std::io::ErrorKind::Interrupted => true,
        std::io::ErrorKind::WouldBlock => {
            let mut poll = libc::pollfd { fd: file, events: libc::POLLOUT, revents: 0 };
            // SAFETY: one struct.
            unsafe { libc::poll(&raw mut poll, 1, PATIENCE) > 0 }
        }
        _ => false,
    }
}

/// Collects text, and writes it in pieces. It takes no memory.
pub struct Output {
    file: c_int,
    text: [u8; 2048],
    length: usize,
}

impl Output {
    pub fn to(file: c_int) -> Output {
        Output { file, text: [0; 2048], length: 0 }
    }

    pub fn flush(&mut self) {
        write(self.file, &self.text[..self.length]);
        self.length = 0;
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.length == self.text.len() {
                self.flush();
            }
            self.text[self.length] = byte;
            self.length += 1;
        }
        Ok(())
    }
}
