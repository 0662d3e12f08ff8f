import Primitives

// Gives every partition its owners. Three promises: owners of a partition are distinct; every member owns the same
// number of partition copies, give or take one, and is first owner of the same number, give or take one; a change of
// members moves about the copies that the change itself is worth. Deterministic: ties are broken by a hash of
// partition and member, which also mixes the sets, so that the work of a dead node falls on all the others.

enum Claim {
  /// Owner lists for `members` (sorted, distinct), keeping what `previous` says as far as balance allows.
  static func owners(members: [NodeID], replicas: Int, previous: [[NodeID]]) -> [[NodeID]] {
    guard !members.isEmpty else { return previous.map { _ in [] } }
    var draft = Draft(members: members, previous: previous)
    draft.fill(to: min(replicas, members.count))
    draft.levelCopies()
    draft.levelFirstOwners()
    return draft.lists.map { list in list.map { members[$0] } }
  }
}

/// Owner lists being worked on; members are numbered by their place in the sorted list.
private struct Draft {
  private let members: [NodeID]
  private(set) var lists: [[Int]]
  /// Copies per member.
  private var copies: [Int]

  init(members: [NodeID], previous: [[NodeID]]) {
    self.members = members
    lists = previous.map { owners in owners.compactMap { members.firstIndex(of: $0) } }
    copies = Array(repeating: 0, count: members.count)
    for list in lists { for member in list { copies[member] += 1 } }
  }

  /// Every partition gets `width` owners: what is missing comes from the least loaded, what is too much leaves at
  /// the end of the list.
  mutating func fill(to width: Int) {
    for partition in lists.indices {
      while lists[partition].count > width { copies[lists[partition].removeLast()] -= 1 }
      while lists[partition].count < width {
        let candidates = members.indices.filter { !lists[partition].contains($0) }
        let chosen = candidates.min { order(partition, $0) < order(partition, $1) }!
        lists[partition].append(chosen)
        copies[chosen] += 1
      }
    }
  }

  /// Moves one copy at a time from the most to the least loaded member. There always is one to move: who owns more
  /// partitions owns one that the other does not.
  mutating func levelCopies() {
    while true {
      let from = mostLoaded(copies)
      let to = leastLoaded(copies)
      guard copies[from] - copies[to] > 1 else { return }
      let movable = lists.indices.filter { lists[$0].contains(from) && !lists[$0].contains(to) }
      let partition = movable.min { tieBreak($0, to) < tieBreak($1, to) }!
      lists[partition][lists[partition].firstIndex(of: from)!] = to
      copies[from] -= 1
      copies[to] += 1
    }
  }

  /// Reorders lists until first ownership is level. Where copies are level this is always possible: give each owner
  /// an equal share of each of its partitions, and all shares lie between two neighbouring integers; then a whole
  /// solution lies there too (flows have integral solutions), and chains of swaps lead to it.
  mutating func levelFirstOwners() {
    guard members.count > 1, !lists[0].isEmpty else { return }
    var firsts = Array(repeating: 0, count: members.count)
    for list in lists { firsts[list[0]] += 1 }
    while let chain = chainOfSwaps(firsts) {
      for (partition, next) in chain {
        let place = lists[partition].firstIndex(of: next)!
        firsts[lists[partition][0]] -= 1
        firsts[next] += 1
        lists[partition].swapAt(0, place)
      }
    }
  }

  /// The shortest chain of (partition, its next first owner) that takes one first ownership from a member that has
  /// most to one that has at least two fewer; nil when there is none left to take.
  private func chainOfSwaps(_ firsts: [Int]) -> [(partition: Int, next: Int)]? {
    let most = firsts.max()!
    var reachedBy: [(partition: Int, from: Int)?] = Array(repeating: nil, count: members.count)
    var queue = members.indices.filter { firsts[$0] == most }
    var seen = members.indices.map { firsts[$0] == most }
    var head = 0
    while head < queue.count {
      let member = queue[head]
      head += 1
      if firsts[member] <= most - 2 {
        var chain: [(partition: Int, next: Int)] = []
        var end = member
        while let step = reachedBy[end] {
          chain.append((step.partition, end))
          end = step.from
        }
        return chain
      }
      for partition in lists.indices where lists[partition][0] == member {
        for owner in lists[partition] where !seen[owner] {
          seen[owner] = true
          reachedBy[owner] = (partition, member)
          queue.append(owner)
        }
      }
    }
    return nil
  }

  private func order(_ partition: Int, _ member: Int) -> (Int, UInt64) { (copies[member], tieBreak(partition, member)) }

  private func tieBreak(_ partition: Int, _ member: Int) -> UInt64 {
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(UInt32(partition))
    bytes.appendLittleEndian(members[member].rawValue)
    return RingHash(seed: 0x6361_6972_6E2D_636C)(bytes)
  }

  private func mostLoaded(_ loads: [Int]) -> Int { loads.indices.max { (loads[$0], $1) < (loads[$1], $0) }! }
  private func leastLoaded(_ loads: [Int]) -> Int { loads.indices.min { (loads[$0], $0) < (loads[$1], $1) }! }
}
