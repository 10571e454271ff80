//! The faults stop, and everything comes to rest.

use crate::sim::Sim;
use pvwatch::watcher::Event;
use std::time::Duration;

impl Sim {
    /// Stops the faults, and lets everything come to rest.
    pub fn finish(&mut self) {
        self.log(format_args!("the faults stop"));
        self.faults_are_over = true;
        self.files.broken = false;
        self.files.hints_in_the_making = false;
        for devno in self.world.disks.keys().copied().collect::<Vec<_>>() {
            self.heal(devno);
            if self.world.disks[&devno].suspended {
                self.world.disks.get_mut(&devno).expect("listed").suspended = false;
                self.uevent(devno, "change");
            }
        }
        self.let_go();
        self.let_activate();
        self.wake_paths();
        let events = self.now + Duration::from_secs(40);
        self.run_until(events);
        if self.meddled {
            self.note_all_happened();
            self.watcher.rescan_all();
        }
        if self.lost {
            self.handle(Event::Lost("uevents"));
        }
        // The longest back-off is a minute, an update of a client half of one.
        let retries = self.now + Duration::from_secs(100);
        self.run_until(retries);
        let id = self.wait(None);
        let settled = self.now + Duration::from_secs(20);
        self.run_until(settled);
        assert!(self.is_settled(id), "it does not settle");
        self.check_replied();
        assert!(self.ready_at.is_some(), "it is not ready");
        assert!(!self.watcher.cache().token.is_updating(), "an update never ends");
        let scans = self.watcher.counters().scans;
        let quiet = self.now + Duration::from_secs(300);
        self.run_until(quiet);
        assert_eq!(self.watcher.counters().scans, scans, "it reads without a reason");
        let quarantined = self.watcher.devices().values().filter(|device| device.quarantine.is_some()).count();
        assert_eq!(quarantined, 0, "nothing is wrong with any device");
        assert!(self.jobs.is_empty(), "a job was left open");
        self.check_rest();
        let reasons = self.reasons + 1;
        assert!(scans <= 3 * reasons, "{scans} scans for {reasons} reasons");
    }

    pub fn outdated_complete(&self) -> bool {
        !self.clients_meddle() && !self.cleared_outdated
    }
}
