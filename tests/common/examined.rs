//! What `mdadm --examine` says of a member of an array of firmware, to compare it.

use pvwatch::signature::Member;

#[derive(Debug, Default, PartialEq)]
pub struct Examined {
    pub version: String,
    pub uuid: String,
    pub name: Option<String>,
    pub level: Option<String>,
    pub members: Option<u32>,
    pub role: Option<String>,
}

impl From<&Member> for Examined {
    fn from(member: &Member) -> Examined {
        Examined {
            version: member.version.clone(),
            uuid: member.uuid.clone().unwrap(),
            name: member.name.as_deref().map(|name| String::from_utf8(name.to_vec()).unwrap()),
            level: member.level.clone(),
            members: member.members,
            role: member.role.map(|role| role.to_string()),
        }
    }
}

/// A volume, and which of its disks this is.
struct Volume {
    name: String,
    level: String,
    members: u32,
    role: Option<String>,
}

impl Examined {
    pub fn new(lines: &[&str]) -> Examined {
        let is_ddf = lines.iter().any(|line| line.ends_with("Magic : de11de11"));
        if is_ddf { Examined::ddf(lines) } else { Examined::imsm(lines) }
    }

    fn ddf(lines: &[&str]) -> Examined {
        // "    0    3180eebe     65536K /dev/loop2      active/Online", with a name only for this disk.
        let own = lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let own = own.filter(|words| words.len() >= 5 && words[2].ends_with('K')).map(|words| words.join(" "));
        let [own] = &own.collect::<Vec<_>>()[..] else { panic!("{lines:?}") };
        let (number, state) = (own.split(' ').next().unwrap(), own.split('/').next_back().unwrap());
        let volume = |at: usize| {
            let of = |key: &str| value(lines, &format!("{key}[{at}]"));
            let name = of("Name")?;
            let Some(devices) = of("Raid Devices") else { return Some((name, None)) };
            // "2 (0@12288K 2@12288K)"
            let places = devices.split(['(', ')']).nth(1).unwrap().split(' ');
            let mut numbers = places.map(|place| place.split('@').next().unwrap());
            let count = devices.split(' ').next().unwrap().parse::<u32>().unwrap();
            let place = u32::try_from(numbers.position(|found| found == number).unwrap()).unwrap();
            let (half, halves) = match of("Secondary Position") {
                Some(position) => {
                    let (half, halves) = position.split_once(" of ").unwrap();
                    (half.parse().unwrap(), halves.parse().unwrap())
                }
                None => (0, 1),
            };
            let level = of("Raid Level").unwrap().to_lowercase();
            let volume = Volume {
                name: name.clone(),
                level: if of("Secondary Level").is_some() { format!("{level}0") } else { level },
                members: count * halves,
                role: Some(format!("active device {}", half * count + place)),
            };
            Some((name, Some(volume)))
        };
        let volumes = (0..).map_while(volume).collect::<Vec<_>>();
        let names = volumes.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let volumes = volumes.into_iter().filter_map(|(_, volume)| volume).collect::<Vec<_>>();
        let mut examined = Examined::of(volumes);
        examined.name = examined.name.or((!names.is_empty()).then(|| names.join(", ")));
        examined.version = value(lines, "Version").unwrap();
        examined.uuid = value(lines, "Container GUID").unwrap();
        if state.contains("Failed") {
            examined.role = Some("faulty".into());
        } else if own.contains("Global-Spare") {
            examined.role = Some("spare".into());
        }
        examined
    }

    fn imsm(lines: &[&str]) -> Examined {
        let volumes = lines.iter().enumerate().filter_map(|(at, line)| {
            let name = line.strip_prefix('[')?.strip_suffix("]:")?;
            let of = |key: &str| value(&lines[at..], key).unwrap();
            let level = format!("raid{}", of("RAID Level"));
            Some(Volume { name: name.into(), level, members: of("Members").parse().unwrap(), role: None })
        });
        let mut examined = Examined::of(volumes.collect());
        examined.version = value(lines, "Version").unwrap();
        examined.uuid = value(lines, "Family").unwrap();
        let is_spare = value(lines, "RAID Devices").as_deref() == Some("0");
        examined.role = is_spare.then(|| value(lines, "State").unwrap());
        examined
    }

    fn of(volumes: Vec<Volume>) -> Examined {
        let joined = |of: fn(&Volume) -> &str| {
            (!volumes.is_empty()).then(|| volumes.iter().map(of).collect::<Vec<_>>().join(", "))
        };
        let first = volumes.first();
        let all_have = |of: fn(&Volume, &Volume) -> bool| first.filter(|first| volumes.iter().all(|it| of(it, first)));
        Examined {
            name: joined(|volume| &volume.name),
            level: joined(|volume| &volume.level),
            members: all_have(|one, other| one.members == other.members).map(|volume| volume.members),
            role: all_have(|one, other| one.role == other.role).and_then(|volume| volume.role.clone()),
            ..Examined::default()
        }
    }
}

fn value(lines: &[&str], key: &str) -> Option<String> {
    let mut pairs = lines.iter().filter_map(|line| line.split_once(" : "));
    pairs.find(|(found, _)| found.trim() == key).map(|(_, value)| value.trim().to_string())
}
