//! The kernel's uevents about block devices, and udevd's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use crate::devno::DevNo;
use crate::uevent::{Action, Uevent};

/// Room for more than 100,000 events of usual size: what a big storage array sends while the
/// daemon is busy. The kernel accounts for what is queued and does not reserve it.
#[cfg(test)]
const RECEIVE_BUFFER: usize = 128 << 20;

pub struct Monitor {
    socket: udev::MonitorSocket,
}

pub enum Received {
    Event(Uevent),
    /// Nothing is left to read.
    Drained,
    /// The receive buffer was full and the kernel dropped events: only looking at every device
    /// tells what they were.
    Lost,
    /// Anything else; reading goes on.
    Failed(io::Error),
}

impl Monitor {
    /// Listens to the kernel's own events, not to udevd's: they come without udevd, and before it.
    /// `receive_buffer` in bytes.
    pub fn open(receive_buffer: usize) -> io::Result<Monitor> {
        Monitor::listen(udev::MonitorBuilder::new_kernel()?, receive_buffer)
    }

    /// Listens to udevd: each event comes again when it has dealt with it.
    pub fn open_udevd(receive_buffer: usize) -> io::Result<Monitor> {
        Monitor::listen(udev::MonitorBuilder::new()?, receive_buffer)
    }

    fn listen(builder: udev::MonitorBuilder, receive_buffer: usize) -> io::Result<Monitor> {
        let socket = builder.match_subsystem("block")?.listen()?;
        // Above net.core.rmem_max only root may go; anybody else gets what there is.
        if setsockopt(&socket, sockopt::RcvBufForce, &receive_buffer).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &receive_buffer)?;
        }
        Ok(Monitor { socket })
    }

    /// The size that the kernel granted, which is twice what it was asked for; 0 if it does not say.
    pub fn receive_buffer(&self) -> usize {
        getsockopt(&self.socket, sockopt::RcvBuf).unwrap_or(0)
    }

    /// The next event. Ask until the answer is `Drained`.
    pub fn receive(&mut self) -> Received {
        loop {
            // The iterator answers `None` to every failure; only errno tells which.
            Errno::clear();
            match self.socket.iter().next() {
                Some(event) => {
                    if let Some(uevent) = decode(&event) {
                        return Received::Event(uevent);
                    }
                }
                // libudev says EAGAIN also when it threw a message away, such as one that another
                // process sent us, so ask the socket.
                None => match Errno::last() {
                    Errno::EAGAIN if self.is_readable() => {}
                    Errno::EAGAIN => return Received::Drained,
                    Errno::ENOBUFS => return Received::Lost,
                    Errno::EINTR => {}
                    error => return Received::Failed(error.into()),
                },
            }
        }
    }

    fn is_readable(&self) -> bool {
        let mut descriptors = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// `None` for an event of something that has no device number, such as a hidden NVMe path.
fn decode(event: &udev::Event) -> Option<Uevent> {
    Some(Uevent {
        action: Action::parse(event.action()?.to_str()?),
        devno: DevNo::from_dev_t(event.devnum()?),
        name: event.sysname().to_string_lossy().into_owned(),
        diskseq: event.property_value("DISKSEQ").and_then(|text| text.to_str()?.parse().ok()),
        synthetic: event.property_value("SYNTH_UUID").is_some(),
        seqnum: Some(event.sequence_number()).filter(|&seqnum| seqnum != 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{LoopDevice, needs};
    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, getsockname, sendto, socket,
    };
    use std::fs;
    use std::path::Path;

    fn trigger(path: &Path) {
        fs::write(path, "change").expect("the kernel takes a synthetic uevent");
    }

    /// Reads until nothing is left; the events of the devices of other tests are dropped.
    fn drain(monitor: &mut Monitor, devno: DevNo) -> (Vec<Uevent>, bool) {
        let (mut events, mut lost) = (Vec::new(), false);
        loop {
            match monitor.receive() {
                Received::Event(event) if event.devno == devno => events.push(event),
                Received::Event(_) => {}
                Received::Lost => lost = true,
                Received::Drained => return (events, lost),
                Received::Failed(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn changes_arrive_and_other_subsystems_do_not_end_the_reading() {
        let Some(device) = needs("changes_arrive", LoopDevice::create(60)) else { return };
        let mut monitor = Monitor::open(RECEIVE_BUFFER).unwrap();
        let foreign = Path::new("/sys/class/net/lo/uevent");
        let own = device.sysfs().join("uevent");
        drain(&mut monitor, device.devno());
        trigger(foreign);
        trigger(&own);
        trigger(foreign);
        trigger(foreign);
        trigger(&own);
        let (events, lost) = drain(&mut monitor, device.devno());
        assert!(!lost);
        assert_eq!(events.len(), 2);
        assert_eq!((events[0].action, events[0].name.as_str()), (Action::Change, "loop60"));
        assert_eq!(events[0].diskseq, Some(device.diskseq()));
        assert!(events[0].seqnum.unwrap() < events[1].seqnum.unwrap());
    }

    #[test]
    fn a_message_from_a_process_does_not_look_like_the_end() {
        let Some(device) = needs("a_message_from_a_process", LoopDevice::create(61)) else { return };
        let mut monitor = Monitor::open(RECEIVE_BUFFER).unwrap();
        drain(&mut monitor, device.devno());
        let address: NetlinkAddr = getsockname(monitor.as_raw_fd()).unwrap();
        let forger =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkKObjectUEvent)
                .unwrap();
        let message = b"remove@/devices/virtual/block/loop61\0ACTION=remove\0SUBSYSTEM=block\0";
        sendto(forger.as_raw_fd(), message, &NetlinkAddr::new(address.pid(), 0), MsgFlags::empty()).unwrap();
        trigger(&device.sysfs().join("uevent"));
        let (events, _) = drain(&mut monitor, device.devno());
        assert_eq!(events.iter().map(|event| event.action).collect::<Vec<_>>(), [Action::Change]);
    }

    #[test]
    fn dropped_events_are_reported() {
        let Some(device) = needs("dropped_events", LoopDevice::create(62)) else { return };
        let mut monitor = Monitor::open(1).unwrap();
        for _ in 0..200 {
            trigger(&device.sysfs().join("uevent"));
        }
        let (events, lost) = drain(&mut monitor, device.devno());
        assert!(lost && events.len() < 200);
        assert!(!drain(&mut monitor, device.devno()).1, "reported once");
    }

    /// As udevd sends it: its header, then the properties.
    #[test]
    fn what_udevd_has_dealt_with() {
        let Some(device) = needs("what_udevd_has_dealt_with", LoopDevice::create(64)) else { return };
        let mut monitor = Monitor::open_udevd(RECEIVE_BUFFER).unwrap();
        trigger(&device.sysfs().join("uevent"));
        assert_eq!(drain(&mut monitor, device.devno()), (vec![], false), "that is the kernel's");
        let properties = "ACTION=add\0DEVPATH=/devices/virtual/block/loop64\0SUBSYSTEM=block\0\
            DEVNAME=/dev/loop64\0MAJOR=7\0MINOR=64\0SEQNUM=77\0";
        let mut message = b"libudev\0".to_vec();
        message.extend(0xfeed_cafe_u32.to_be_bytes());
        message.extend([40, 40, u32::try_from(properties.len()).unwrap()].map(u32::to_ne_bytes).concat());
        // MurmurHash2 of "block": the kernel drops other subsystems' events.
        message.extend([0xf003_1db7_u32, 0, 0, 0].map(u32::to_be_bytes).concat());
        message.extend(properties.as_bytes());
        let udevd =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkKObjectUEvent)
                .unwrap();
        sendto(udevd.as_raw_fd(), &message, &NetlinkAddr::new(0, 2), MsgFlags::empty()).unwrap();
        let (events, _) = drain(&mut monitor, device.devno());
        assert_eq!(
            events.iter().map(|event| (event.action, event.seqnum)).collect::<Vec<_>>(),
            [(Action::Add, Some(77))]
        );
    }
}
