import Primitives

// Where the record of every key is, 16 bytes per key and no key bytes: extendible hashing over small segments, after
// Fagin et al. 1979. A directory indexed by the top bits of the hash names the segments; inside one, slots stand in
// hash order in a linear probing table without wrap-around. Growing touches one segment of at most a few thousand
// slots, so no insert pauses. Invariant: slots are sorted by hash, none before its home, and no empty slot lies
// between a slot and its home. Keys with equal hashes are all here; whoever asks compares the keys in the records.

package final class Keydir {
  struct Slot {
    /// The hash, rotated so that the bits that all keys of the partition share come last.
    var hash: UInt64
    /// 0: empty.
    var location: UInt64
  }

  /// Owned by the keydir: the slots live as long as it does.
  @safe struct Segment {
    var slots: UnsafeMutablePointer<Slot>
    var capacity: Int
    var count: Int
    /// How many leading bits all hashes of the segment share.
    var depth: Int
  }

  /// One slot, until the next change.
  package struct Position: Equatable {
    let segment: Int
    let index: Int
  }

  // Nothing is called while one of these is accessed that could access it again; the check at run time, per access,
  // cost a sixth of a put.
  @safe @exclusivity(unchecked) package private(set) var count = 0
  private let ringBits: UInt64
  /// A power of two of indices into `segments`, by the top `globalDepth` bits of the hash.
  @safe @exclusivity(unchecked) private var directory: [UInt32] = []
  @safe @exclusivity(unchecked) private var globalDepth = 0
  @safe @exclusivity(unchecked) private var segments: [Segment] = []

  /// Slots of a segment from which on it is split instead of grown.
  private static let splitCapacity = 2048
  /// Directory entries double no further than this; beyond it segments grow (only forged or masked hashes get there).
  private static let depthMax = 22
  private static let firstCapacity = 16
  /// Keys of a segment after a rebuild.
  private static let rebuiltCount = 1200

  /// - Parameter ringBits: How many top bits all hashes share, because they chose the partition.
  package init(ringBits: Int) { self.ringBits = UInt64(ringBits) }

  deinit {
    for index in segments.indices { unsafe segments[index].slots.deallocate() }
  }

  /// The first slot with this hash.
  package func first(_ hash: UInt64) -> Position? {
    guard !directory.isEmpty else { return nil }
    let rotated = rotate(hash)
    let segment = segmentIndex(rotated)
    return position(segment, from: Keydir.home(rotated, segments[segment]), rotated)
  }

  /// The slot after `position` with the same hash.
  package func next(after position: Position, _ hash: UInt64) -> Position? {
    self.position(position.segment, from: position.index + 1, rotate(hash))
  }

  /// Has the place of this hash brought into the processor's caches, for a look at it soon: of many keys at random, most
  /// of the time goes into waiting for memory.
  func prefetch(_ hash: UInt64) {
    guard !directory.isEmpty else { return }
    let rotated = rotate(hash)
    let segment = segments[segmentIndex(rotated)]
    unsafe Primitives.prefetch(segment.slots + Keydir.home(rotated, segment))
  }

  /// The slot that points to the record at this place; nil when none does, because the record does not count any more.
  func position(of hash: UInt64, file: Int, offset: UInt64) -> Position? {
    let wanted = Location(file: file, offset: offset)
    var position = first(hash)
    while let candidate = position, location(at: candidate).place != wanted.place {
      position = next(after: candidate, hash)
    }
    return position
  }

  /// The first slot whose hash is not below this one.
  package func first(atLeast hash: UInt64) -> Position? { first(atLeastRotated: rotate(hash)) }

  func first(atLeastRotated rotated: UInt64) -> Position? {
    guard !directory.isEmpty else { return nil }
    let segment = segmentIndex(rotated)
    let found = segments[segment]
    var index = Keydir.home(rotated, found)
    while unsafe index < found.capacity && (found.slots[index].location == 0 || found.slots[index].hash < rotated) {
      index += 1
    }
    return index < found.capacity ? Position(segment: segment, index: index) : firstSlot(behind: rotated, found)
  }

  /// The slot that follows in the order of hashes.
  package func next(after position: Position) -> Position? {
    let segment = segments[position.segment]
    var index = position.index + 1
    while unsafe index < segment.capacity && segment.slots[index].location == 0 { index += 1 }
    if index < segment.capacity { return Position(segment: position.segment, index: index) }
    return unsafe firstSlot(behind: segment.slots[position.index].hash, segment)
  }

  /// The first slot of the segments that come after the one that this hash belongs to.
  private func firstSlot(behind rotated: UInt64, _ segment: Segment) -> Position? {
    let span = 1 << (globalDepth - segment.depth)
    var entry = (Int(truncatingIfNeeded: rotated >> UInt64(64 &- globalDepth)) / span + 1) * span
    while entry < directory.count {
      let index = Int(directory[entry])
      let found = segments[index]
      for slot in 0..<found.capacity where unsafe found.slots[slot].location != 0 {
        return Position(segment: index, index: slot)
      }
      entry += 1 << (globalDepth - found.depth)
    }
    return nil
  }

  package func slot(at position: Position) -> (hash: UInt64, location: Location) {
    let slot = unsafe segments[position.segment].slots[position.index]
    return (unrotate(slot.hash), Location(rawValue: slot.location))
  }

  package func location(at position: Position) -> Location {
    unsafe Location(rawValue: segments[position.segment].slots[position.index].location)
  }

  package func replace(at position: Position, with location: Location) {
    unsafe segments[position.segment].slots[position.index].location = location.rawValue
  }

  package func insert(_ hash: UInt64, _ location: Location) {
    let rotated = rotate(hash)
    if directory.isEmpty {
      segments.append(Keydir.makeSegment(capacity: Keydir.firstCapacity, depth: 0))
      directory = [0]
    }
    while true {
      let segment = segmentIndex(rotated)
      if Keydir.place(Slot(hash: rotated, location: location.rawValue), in: &segments[segment]) { break }
      makeRoom(in: segment, for: rotated)
    }
    count += 1
  }

  /// Closes the gap: later slots of the probe run move back as far as their homes allow.
  package func remove(at position: Position) {
    Keydir.removeSlot(at: position.index, in: &segments[position.segment])
    count -= 1
  }

  /// Lays everything out anew for about `expected` keys. Before many inserts in hash order, which would otherwise pile up
  /// at one end of every segment, and after them when there were fewer than was thought.
  package func rebuild(for expected: Int) {
    let wanted = max(expected, count)
    var depth = 0
    while depth < Keydir.depthMax && wanted >> depth > Keydir.rebuiltCount { depth += 1 }
    let capacity = max(Keydir.firstCapacity, (wanted >> depth) * 3 / 2)
    var slots: [Slot] = []
    slots.reserveCapacity(count)
    visitAll { slots.append(Slot(hash: rotate($0), location: $1.rawValue)) }
    for segment in segments { unsafe segment.slots.deallocate() }
    segments = (0..<1 << depth).map { _ in Keydir.makeSegment(capacity: capacity, depth: depth) }
    directory = (0..<1 << depth).map { UInt32($0) }
    globalDepth = depth
    count = 0
    for slot in slots { insert(unrotate(slot.hash), Location(rawValue: slot.location)) }
  }

  /// Room that nobody uses, beyond what growing leaves.
  package var isSparse: Bool {
    byteCount > 3 * max(count, Keydir.rebuiltCount) * MemoryLayout<Slot>.stride
  }

  /// Every slot, ascending by hash (rotated: within a partition that is the order of the hashes themselves).
  package func visitAll(_ body: (UInt64, Location) -> Void) { visit(0...UInt64.max, body) }

  /// Every slot whose rotated hash is in the range, ascending.
  func visit(_ range: ClosedRange<UInt64>, _ body: (UInt64, Location) -> Void) {
    guard !directory.isEmpty else { return }
    var entry = Int(truncatingIfNeeded: range.lowerBound >> UInt64(64 &- globalDepth))
    var isFirst = true
    while entry < directory.count {
      let segment = segments[Int(directory[entry])]
      for index in (isFirst ? Keydir.home(range.lowerBound, segment) : 0)..<segment.capacity {
        let slot = unsafe segment.slots[index]
        if slot.location == 0 || slot.hash < range.lowerBound { continue }
        if slot.hash > range.upperBound { return }
        body(unrotate(slot.hash), Location(rawValue: slot.location))
      }
      isFirst = false
      let span = 1 << (globalDepth - segment.depth)
      entry = (entry / span + 1) * span
    }
  }

  /// Bytes allocated for slots and directory.
  package var byteCount: Int {
    segments.reduce(0) { $0 + $1.capacity * MemoryLayout<Slot>.stride }
      + segments.capacity * MemoryLayout<Segment>.stride + directory.capacity * 4
  }

  /// Checks the whole structure and returns what is wrong with it, for tests.
  package func defect() -> String? {
    var total = 0
    var previous: UInt64 = 0
    for index in segments.indices {
      let segment = segments[index]
      var seen = 0
      previous = 0
      for slot in 0..<segment.capacity where unsafe segment.slots[slot].location != 0 {
        let hash = unsafe segment.slots[slot].hash
        let home = Keydir.home(hash, segment)
        if segmentIndex(hash) != index { return "slot in a foreign segment" }
        if hash < previous { return "slots out of order" }
        if home > slot { return "slot before its home" }
        for between in home..<slot where unsafe segment.slots[between].location == 0 { return "gap before a slot" }
        previous = hash
        seen += 1
      }
      if seen != segment.count { return "segment miscounted" }
      total += seen
    }
    return total == count ? nil : "keydir miscounted"
  }

  // MARK: Slots

  func rotate(_ hash: UInt64) -> UInt64 { hash << ringBits | hash >> (64 &- ringBits) }
  private func unrotate(_ hash: UInt64) -> UInt64 { hash >> ringBits | hash << (64 &- ringBits) }

  private func segmentIndex(_ rotated: UInt64) -> Int {
    Int(directory[Int(truncatingIfNeeded: rotated >> UInt64(64 &- globalDepth))])
  }

  private func position(_ segment: Int, from start: Int, _ rotated: UInt64) -> Position? {
    let found = segments[segment]
    var index = start
    while unsafe index < found.capacity && found.slots[index].location != 0 {
      let hash = unsafe found.slots[index].hash
      if hash == rotated { return Position(segment: segment, index: index) }
      if hash > rotated { return nil }
      index += 1
    }
    return nil
  }

  /// Where a hash belongs when nothing is in its way: its bits below the shared ones, scaled to the capacity less a
  /// margin for the last probe runs.
  private static func home(_ rotated: UInt64, _ segment: Segment) -> Int {
    let homes = segment.capacity - margin(segment.capacity)
    return Int(truncatingIfNeeded: (rotated << UInt64(segment.depth)).multipliedFullWidth(by: UInt64(homes)).high)
  }

  private static func margin(_ capacity: Int) -> Int { min(24, capacity / 8) }

  /// False when the segment must grow or split first.
  private static func place(_ slot: Slot, in segment: inout Segment) -> Bool {
    guard segment.count * 20 < segment.capacity * 17 else { return false }
    let capacity = segment.capacity
    var index = home(slot.hash, segment)
    while unsafe index < capacity && segment.slots[index].location != 0 && segment.slots[index].hash <= slot.hash {
      index += 1
    }
    var end = index
    while unsafe end < capacity && segment.slots[end].location != 0 { end += 1 }
    guard end < capacity else { return false }
    while end > index {
      unsafe segment.slots[end] = segment.slots[end - 1]
      end -= 1
    }
    unsafe segment.slots[index] = slot
    segment.count += 1
    return true
  }

  private static func removeSlot(at index: Int, in segment: inout Segment) {
    var hole = index
    while unsafe hole + 1 < segment.capacity && segment.slots[hole + 1].location != 0
      && home(segment.slots[hole + 1].hash, segment) <= hole
    {
      unsafe segment.slots[hole] = segment.slots[hole + 1]
      hole += 1
    }
    unsafe segment.slots[hole] = Slot(hash: 0, location: 0)
    segment.count -= 1
  }

  // MARK: Growth

  private static func makeSegment(capacity: Int, depth: Int) -> Segment {
    let slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
    unsafe slots.initialize(repeating: Slot(hash: 0, location: 0), count: capacity)
    return unsafe Segment(slots: slots, capacity: capacity, count: 0, depth: depth)
  }

  private func makeRoom(in index: Int, for rotated: UInt64) {
    let segment = segments[index]
    if segment.capacity >= Keydir.splitCapacity && segment.depth < Keydir.depthMax && wouldSeparate(segment) {
      split(index)
    } else {
      let capacity = max(segment.capacity + 8, segment.capacity * 5 / 4)
      let slots = unsafe UnsafeBufferPointer(start: segment.slots, count: segment.capacity)
      unsafe segments[index] = Keydir.rebuilt(slots, capacity: capacity, depth: segment.depth)
      unsafe segment.slots.deallocate()
    }
  }

  /// True when the next bit of the hash puts slots on both sides.
  private func wouldSeparate(_ segment: Segment) -> Bool {
    let bit = UInt64(1) << UInt64(63 - segment.depth)
    var ones = 0
    for index in 0..<segment.capacity
    where unsafe segment.slots[index].location != 0 && segment.slots[index].hash & bit != 0 { ones += 1 }
    return ones > 0 && ones < segment.count
  }

  private func split(_ index: Int) {
    let segment = segments[index]
    let depth = segment.depth + 1
    let bit = UInt64(1) << UInt64(64 - depth)
    var boundary = 0
    for slot in 0..<segment.capacity
    where unsafe segment.slots[slot].location != 0 && segment.slots[slot].hash & bit == 0 { boundary = slot + 1 }
    let low = unsafe UnsafeBufferPointer(start: segment.slots, count: boundary)
    let high = unsafe UnsafeBufferPointer(start: segment.slots + boundary, count: segment.capacity - boundary)
    if depth > globalDepth { doubleDirectory() }
    unsafe segments[index] = Keydir.rebuilt(low, capacity: 0, depth: depth)
    unsafe segments.append(Keydir.rebuilt(high, capacity: 0, depth: depth))
    unsafe segment.slots.deallocate()
    pointHalf(of: UInt32(index), to: UInt32(segments.count - 1), depth: depth)
  }

  private func doubleDirectory() {
    directory = directory.flatMap { [$0, $0] }
    globalDepth += 1
  }

  /// The upper half of the entries of segment `index` now means `other`.
  private func pointHalf(of index: UInt32, to other: UInt32, depth: Int) {
    guard let first = directory.firstIndex(of: index) else { return }
    let span = 1 << (globalDepth - depth)
    for entry in first + span..<first + 2 * span { directory[entry] = other }
  }

  /// A segment with these slots at two thirds of its capacity, or more room when the last probe run needs it.
  private static func rebuilt(_ slots: UnsafeBufferPointer<Slot>, capacity wanted: Int, depth: Int) -> Segment {
    var used = 0
    for index in slots.indices where unsafe slots[index].location != 0 { used += 1 }
    var capacity = max(wanted, firstCapacity, used * 3 / 2)
    while true {
      var segment = makeSegment(capacity: capacity, depth: depth)
      if unsafe fill(&segment, with: slots) { return segment }
      unsafe segment.slots.deallocate()
      capacity += capacity / 4
    }
  }

  /// Places sorted slots one behind the other; false when they run over the end.
  private static func fill(_ segment: inout Segment, with slots: UnsafeBufferPointer<Slot>) -> Bool {
    var next = 0
    for index in slots.indices where unsafe slots[index].location != 0 {
      let slot = unsafe slots[index]
      next = max(next, home(slot.hash, segment))
      guard next < segment.capacity else { return false }
      unsafe segment.slots[next] = slot
      segment.count += 1
      next += 1
    }
    return true
  }
}
