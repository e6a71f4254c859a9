//! The cluster as one of its nodes sees it.

/// What a node says of another, or of itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    /// Its place among the nodes of the test.
    pub node: usize,
    pub role: Role,
    /// First and last slots.
    slots: Vec<(u16, u16)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Master,
    ReplicaOf(usize),
    /// It was not heard of for too long.
    Missing,
}

/// Reads `CLUSTER NODES`, where each line is a node:
/// `id address flags master ping pong epoch link slots...`. None while it names a node that is not known yet.
pub(super) fn parse(text: &str, ids: &[String]) -> Option<Vec<Member>> {
    let place = |id: &str| ids.iter().position(|known| known == id);
    let mut members = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let role = match fields[2] {
            flags if flags.contains("fail") => Role::Missing,
            flags if flags.contains("master") => Role::Master,
            _ => Role::ReplicaOf(place(fields[3])?),
        };
        // Slots on the move stand in brackets, at their owner too.
        let slots = fields[8..].iter().filter(|slots| !slots.starts_with('[')).map(|slots| {
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            (first.parse().unwrap(), last.parse().unwrap())
        });
        members.push(Member { node: place(fields[0])?, role, slots: slots.collect() });
    }
    members.sort();
    Some(members)
}

pub(super) fn owner(members: &[Member], slot: u16) -> Option<usize> {
    let has = |member: &&Member| member.slots.iter().any(|&(first, last)| (first..=last).contains(&slot));
    members.iter().find(has).map(|member| member.node)
}
