//! Which view of the devices the cache was filled from, and who is filling it.

use std::time::Duration;

pub const UPDATE_IN_PROGRESS: &[u8] = b"update in progress";

/// What stock stores of a token and of a command name; longer ones are cut.
const TOKEN_MAX: usize = 127;
const CMD_MAX: usize = 31;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// Empty when the cache has never been filled.
    current: Vec<u8>,
    update: Update,
}

/// The running update; all zero and empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Whole seconds of the clock that the daemon hands in.
    pub begin: u64,
    /// Seconds; 0 never expires by itself.
    pub timeout: i64,
    pub pid: i64,
    pub cmd: Vec<u8>,
}

/// What became of a `token_update`.
#[derive(Debug, PartialEq, Eq)]
pub enum TokenUpdate {
    Started {
        previous: Vec<u8>,
    },
    Ended,
    /// Neither an update was running nor one asked for: nothing is changed.
    Ignored,
    /// Another one is running.
    Updating {
        owner: i64,
    },
    /// The end came from another process than the start.
    NotOwner {
        owner: i64,
    },
}

impl Token {
    pub fn current(&self) -> &[u8] {
        &self.current
    }

    pub fn update(&self) -> &Update {
        &self.update
    }

    pub fn is_updating(&self) -> bool {
        self.current == UPDATE_IN_PROGRESS
    }

    fn age(&self, now: Duration) -> i64 {
        i64::try_from(now.as_secs().saturating_sub(self.update.begin)).unwrap_or(i64::MAX)
    }

    pub fn request_update(&mut self, token: &[u8], pid: i64, timeout: i64, cmd: &[u8], now: Duration) -> TokenUpdate {
        let owner = self.update.pid;
        match (self.is_updating(), token == UPDATE_IN_PROGRESS) {
            (true, true) if self.age(now) < self.update.timeout => TokenUpdate::Updating { owner },
            (_, true) => {
                let cmd = cmd[..cmd.len().min(CMD_MAX)].to_vec();
                self.update = Update { begin: now.as_secs(), timeout, pid, cmd };
                TokenUpdate::Started { previous: std::mem::replace(&mut self.current, UPDATE_IN_PROGRESS.to_vec()) }
            }
            (true, false) if pid == owner => {
                self.set(token);
                TokenUpdate::Ended
            }
            (true, false) => TokenUpdate::NotOwner { owner },
            (false, false) => TokenUpdate::Ignored,
        }
    }

    /// Ends whatever update is running and stores this token.
    pub fn set(&mut self, token: &[u8]) {
        self.current = token[..token.len().min(TOKEN_MAX)].to_vec();
        self.update = Update::default();
    }

    /// When the running update may be cancelled.
    pub fn expires_at(&self) -> Option<Duration> {
        let timeout = u64::try_from(self.update.timeout).ok().filter(|&timeout| timeout > 0)?;
        self.is_updating().then(|| Duration::from_secs(self.update.begin.saturating_add(timeout)))
    }

    /// Cancels an update that is past its timeout; true if there was one.
    pub fn expire(&mut self, now: Duration) -> bool {
        let expired = self.is_updating() && self.update.timeout != 0 && self.age(now) >= self.update.timeout;
        if expired {
            self.set(b"");
        }
        expired
    }
}
