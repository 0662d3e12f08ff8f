// Connections by a small number that the system and the node can carry for us: an epoll token, a session id. A key
// that outlived its connection finds nothing, because each use of a slot has its own generation.

/// Names an element of a slab; never equal to the key of an earlier element.
struct SlabKey: Hashable, Sendable {
  /// Generations use 24 bits, so that slot, generation and a request's number fit into 64.
  static let generationMask: UInt32 = 0xFF_FFFF
  static let slotsMax = 1 << 16

  let slot: UInt16
  let generation: UInt32
}

struct Slab<Element> {
  private var entries: [(generation: UInt32, element: Element?)] = []
  private var free: [UInt16] = []
  private(set) var count = 0

  /// A key for a new element, which must be placed under it. At most `SlabKey.slotsMax` elements.
  mutating func claim() -> SlabKey {
    count += 1
    if let reused = free.popLast() {
      return SlabKey(slot: reused, generation: entries[Int(reused)].generation)
    }
    precondition(entries.count < SlabKey.slotsMax, "a slab holds at most \(SlabKey.slotsMax) elements")
    entries.append((0, nil))
    return SlabKey(slot: UInt16(entries.count - 1), generation: 0)
  }

  mutating func place(_ element: Element, at key: SlabKey) { entries[Int(key.slot)].element = element }

  subscript(key: SlabKey) -> Element? {
    guard Int(key.slot) < entries.count, entries[Int(key.slot)].generation == key.generation else { return nil }
    return entries[Int(key.slot)].element
  }

  mutating func remove(_ key: SlabKey) {
    guard self[key] != nil else { return }
    entries[Int(key.slot)].element = nil
    entries[Int(key.slot)].generation = (key.generation &+ 1) & SlabKey.generationMask
    free.append(key.slot)
    count -= 1
  }

  /// All elements, in the order of their slots.
  var elements: [Element] { entries.compactMap(\.element) }
}

/// What an epoll token stands for.
enum Source: Equatable {
  case signals
  case clientListener
  case peerListener
  case binaryListener
  case client(SlabKey)
  /// A connection that another node made.
  case inbound(SlabKey)
  /// This node's own connection to the member at this place of the list.
  case link(Int)

  /// `kind u8 | slot u24 | generation u32`.
  var token: UInt64 {
    switch self {
    case .signals: 1 << 56
    case .clientListener: 2 << 56
    case .peerListener: 3 << 56
    case .client(let key): 4 << 56 | UInt64(key.slot) << 32 | UInt64(key.generation)
    case .inbound(let key): 5 << 56 | UInt64(key.slot) << 32 | UInt64(key.generation)
    case .link(let index): 6 << 56 | UInt64(index)
    case .binaryListener: 7 << 56
    }
  }

  init?(token: UInt64) {
    let key = SlabKey(
      slot: UInt16(truncatingIfNeeded: token >> 32),
      generation: UInt32(truncatingIfNeeded: token) & SlabKey.generationMask)
    switch token >> 56 {
    case 1: self = .signals
    case 2: self = .clientListener
    case 3: self = .peerListener
    case 4: self = .client(key)
    case 5: self = .inbound(key)
    case 6: self = .link(Int(UInt32(truncatingIfNeeded: token)))
    case 7: self = .binaryListener
    default: return nil
    }
  }
}
