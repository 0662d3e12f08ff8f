import Platform
import Primitives
import Protocols

// One connection of a pump: requests out in order, answers in the same order.

/// A request on its way.
struct PumpRequest {
  let tag: UInt64
  /// Where it ends in the bytes of the connection, counted from their first.
  let end: UInt64
  let toHead: Bool
}

/// Requests in the order sent: a ring that is made once.
struct PumpQueue {
  private var requests: [PumpRequest]
  private var head = 0
  private(set) var count = 0

  init(countMax: Int) {
    requests = Array(repeating: PumpRequest(tag: 0, end: 0, toHead: false), count: countMax)
  }

  var isFull: Bool { count == requests.count }
  var first: PumpRequest? { count == 0 ? nil : requests[head] }

  mutating func append(_ request: PumpRequest) {
    invariant(!isFull, "a request too many in flight")
    let place = head + count
    requests[place < requests.count ? place : place - requests.count] = request
    count += 1
  }

  mutating func removeFirst() {
    invariant(count > 0, "an answer too many")
    head = head + 1 == requests.count ? 0 : head + 1
    count -= 1
  }
}

/// A connection from its beginning to its end.
final class PumpConnection {
  let descriptor: Descriptor
  private(set) var isOpen = false
  var inFlight: PumpQueue
  var output = OutputBuffer()
  /// What the loop watches for.
  var interest = Interest.both
  /// A write has failed: what the node has still said is read, and then the connection is given up.
  var isWriteBroken = false
  /// When it was last seen to work, or began to have work.
  var lastProgress: Instant
  private var offeredBytes: UInt64 = 0
  private var writtenBytes: UInt64 = 0

  init(_ descriptor: consuming Descriptor, inFlightMax: Int, now: Instant) {
    self.descriptor = descriptor
    inFlight = PumpQueue(countMax: inFlightMax)
    lastProgress = now
  }

  func open(now: Instant) {
    isOpen = true
    lastProgress = now
  }

  /// Appends a request to what is to be written.
  func offer(tag: UInt64, toHead: Bool, now: Instant, _ encode: (inout [UInt8]) -> Void) {
    if inFlight.count == 0 && isOpen { lastProgress = now }
    let before = output.bytes.count
    encode(&output.bytes)
    offeredBytes += UInt64(output.bytes.count - before)
    inFlight.append(PumpRequest(tag: tag, end: offeredBytes, toHead: toHead))
  }

  /// Writes what the connection takes now. - Throws: what broke it.
  func write(now: Instant) throws(Errno) {
    let wasHeadSent = isSent(inFlight.first)
    let count = try output.write(to: descriptor)
    writtenBytes += UInt64(count)
    // Bytes behind a request that waits for its answer are no sign of life.
    if count > 0 && !wasHeadSent { lastProgress = now }
  }

  /// The last byte of it has left: it may be performed.
  func isSent(_ request: PumpRequest?) -> Bool { request.map { $0.end <= writtenBytes } ?? false }

  /// When it is to be given up unless something comes; nil while it has nothing to wait for.
  func deadline(patienceMilliseconds: Int) -> Instant? {
    guard inFlight.count > 0 || !isOpen else { return nil }
    return lastProgress.adding(milliseconds: UInt64(patienceMilliseconds))
  }
}

/// A place for a connection to one endpoint, and what the connection brought.
final class PumpLine {
  let endpoint: Int
  /// Where the connection leads to, or led to.
  var place: Endpoint
  var connection: PumpConnection?
  /// Of the connection, also after its end, until the next `poll`.
  var input: [UInt8] = []
  /// Answers before this place were given out.
  var parsed = 0

  init(endpoint: Int, place: Endpoint) {
    self.endpoint = endpoint
    self.place = place
  }

  /// Capacity that a quiet connection may keep.
  private static let capacityKept = 1 << 20

  func dropParsed() {
    if connection == nil || parsed == input.count {
      if input.capacity > PumpLine.capacityKept { input = [] } else { input.removeAll(keepingCapacity: true) }
    } else if parsed > 0 {
      input.removeSubrange(..<parsed)
    }
    parsed = 0
  }
}

/// How a node has behaved.
struct PumpEndpoint {
  private static let pauseMillisecondsMin: UInt64 = 50
  private static let pauseMillisecondsMax: UInt64 = 1000

  /// Where it can be reached; more than one where nodes stand in for each other.
  private let places: [Endpoint]
  private var place = 0
  /// A node that has failed is asked one thing at a time, on one connection, until it answers.
  private(set) var isTrusted = true
  /// Nothing is tried before.
  private(set) var restsUntil = Instant(nanoseconds: 0)
  /// Since the last answer.
  private var failures = 0

  init(_ places: [Endpoint]) { self.places = places }

  var endpoint: Endpoint { places[place] }

  /// Several connections that fail at once are one failure.
  mutating func failed(now: Instant) {
    guard now >= restsUntil else { return }
    isTrusted = false
    failures += 1
    place = (place + 1) % places.count
    // There is somewhere else to go.
    guard failures % places.count == 0 else { return }
    let pause = PumpEndpoint.pauseMillisecondsMin << UInt64(min(failures / places.count - 1, 8))
    restsUntil = now.adding(milliseconds: min(pause, PumpEndpoint.pauseMillisecondsMax))
  }

  mutating func answered() {
    isTrusted = true
    failures = 0
  }

  func mayTry(now: Instant) -> Bool { isTrusted || now >= restsUntil }
}
