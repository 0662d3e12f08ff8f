import Messages
import Platform
import Primitives
import Protocols
import Replication

// One client's connection: its bytes in, its requests in order, its answers in the same order. Bounded: it has at most
// `exchangesMax` requests in progress, and reads nothing while it has that many or while answers pile up unread.

final class ClientConnection {
  /// Requests of one connection in progress (pipelining).
  static let exchangesMax = 64
  /// With more than this unread, no further request is begun.
  static let outputBytesPausing = 1 << 20
  /// With more than this unread, no further part of a listing is asked for.
  static let listingBytesPausing = 64 << 10

  /// A request whose answer has not yet gone out.
  private struct Exchange {
    /// How to encode the node's answer; nil for an answer that did not need the node.
    var reply: ClientReply?
    let start: RequestStart?
    /// The answer's bytes, once it is there and others must leave before it.
    var answer: [UInt8]?
    var listing: Listing?

    var isAnswered: Bool {
      switch listing {
      case .awaitsPart, .hasPart: false
      case .ended: true
      case nil: answer != nil
      }
    }
  }

  /// How far an exchange is that is answered in parts. Parts that come while others must leave first are held like any
  /// answer; no more are asked for before that.
  private enum Listing {
    /// The node is to send a part.
    case awaitsPart
    /// A part has come: the next is asked for when this one has gone.
    case hasPart
    /// The last part has come.
    case ended(HTTPReply.Progress)
  }

  let descriptor: Descriptor
  let key: SlabKey
  /// The client is on this machine.
  let isLocal: Bool
  private var session: HTTPSession
  /// Instead of `session`, for who speaks Riak's binary protocol. Two properties, because a payload of an enum cannot be
  /// changed in place.
  private var frames: PBSession?
  /// The binary protocol is spoken, which has one request in progress.
  let isBinary: Bool
  var output = OutputBuffer()
  /// What the loop watches for.
  var interest = Interest.reading
  /// Listed for writing at the end of this turn.
  var isDirty = false
  /// Takes no more requests; closed as soon as everything is answered and written.
  private(set) var isFinishing = false
  /// Stopped taking requests at a bound; what was received already may hold more of them.
  private(set) var isPaused = false
  /// The client sends nothing more; what has come may still hold requests.
  private(set) var isInputEnded = false
  /// Bytes received and not yet part of a request in progress, as of the last `settle`.
  private(set) var bufferedBytes = 0
  /// Of a write that waits for the read before it: counted as received, because nothing else counts it.
  var waitingBytes = 0
  /// When the request that is not complete yet began to come.
  private(set) var requestBegan: Instant?
  /// When bytes last went in or out.
  var lastProgress: Instant

  private var exchanges: [Exchange] = []
  /// Bytes of answers that wait for earlier ones.
  private var heldBytes = 0
  /// Exchanges before this one are done with.
  private var head = 0
  /// Number of the exchange at `head`.
  private var headNumber: UInt32 = 0

  init(
    descriptor: consuming Descriptor, key: SlabKey, isLocal: Bool, speaking language: ClientLanguage, now: Instant
  ) {
    switch language {
    case .http(let configuration):
      session = HTTPSession(configuration: configuration)
      isBinary = false
    case .binary(let configuration):
      session = HTTPSession()
      isBinary = true
      frames = PBSession(configuration: configuration)
    }
    self.descriptor = descriptor
    self.key = key
    self.isLocal = isLocal
    lastProgress = now
  }

  /// Unread bytes as last added to the shard's total.
  private var countedBytes = 0

  /// By how much the unread bytes have changed since the last call.
  func recountUnread() -> Int {
    let change = unreadBytes - countedBytes
    countedBytes = unreadBytes
    return change
  }

  /// Takes what was counted out of the total. - Returns: the change.
  func forgetUnread() -> Int {
    defer { countedBytes = 0 }
    return -countedBytes
  }

  /// Nothing is asked, nothing unanswered, nothing unwritten.
  var isIdle: Bool { exchangesInProgress == 0 && output.isEmpty }

  /// Answers that the client has not taken yet.
  var unreadBytes: Int { output.pendingBytes + heldBytes }
  var exchangesInProgress: Int { exchanges.count - head }
  var mayBeginExchange: Bool {
    !isFinishing && openListing == nil && exchangesInProgress < (isBinary ? 1 : ClientConnection.exchangesMax)
      && output.pendingBytes < ClientConnection.outputBytesPausing
  }
  /// Everything asked for has been answered and written, and nothing more will be asked.
  var isDone: Bool { isFinishing && exchangesInProgress == 0 && output.isEmpty }

  /// What it should be watched for now.
  var wantedInterest: Interest {
    // While a listing is made, reading goes on a little: its end is how a client that has gone is noticed. So it does
    // while the one request of a binary connection is in progress: mostly its answer comes sooner than the next.
    let readsOn = openListing != nil || isBinary
    let mayRead = mayBeginExchange || (readsOn && bufferedBytes < ClientConnection.listingBytesPausing)
    return Interest(reading: mayRead && !isInputEnded, writing: !output.isEmpty)
  }

  // MARK: Requests

  func received(_ bytes: UnsafeRawBufferPointer, now: Instant) {
    lastProgress = now
    if requestBegan == nil { requestBegan = now }
    if isBinary { unsafe frames?.receive(bytes) } else { unsafe session.receive(bytes) }
  }

  /// The next thing that the received bytes ask for.
  func nextAction() -> HTTPAction {
    let action = session.next()
    switch action {
    case .request(_, let reply), .list(_, let reply), .admin(_, let reply), .snapshot(_, let reply),
      .quarantine(_, _, let reply), .backup(_, _, let reply):
      requestBegan = nil
      if reply.closesConnection { isFinishing = true }
    case .reply(_, let close):
      requestBegan = nil
      if close { isFinishing = true }
    case .needMore: if isInputEnded { isFinishing = true }
    case .send: break
    }
    return action
  }

  /// The same for a binary connection.
  func nextFrame() -> PBAction {
    let action = frames?.next() ?? .needMore
    switch action {
    case .request, .list, .preflist: requestBegan = nil
    case .reply(_, let close):
      requestBegan = nil
      if close { isFinishing = true }
    case .needMore: if isInputEnded { isFinishing = true }
    }
    return action
  }

  /// Counts what is buffered. - Returns: By how much that has changed.
  func settle(now: Instant) -> Int {
    let before = bufferedBytes
    let received = frames?.bufferedBytes ?? session.bufferedBytes
    bufferedBytes = received + waitingBytes
    if received > 0 && requestBegan == nil { requestBegan = now }
    return bufferedBytes - before
  }

  func pause() { isPaused = true }
  func resume() { isPaused = false }

  /// The client has closed its side.
  func endInput() {
    isInputEnded = true
    if !isPaused { isFinishing = true }
  }

  /// Begins an exchange that the node will answer. - Returns: its number.
  func beginExchange(_ reply: ClientReply, _ start: RequestStart?) -> UInt32 {
    exchanges.append(Exchange(reply: reply, start: start))
    return (headNumber &+ UInt32(exchangesInProgress) &- 1) & SlabKey.generationMask
  }

  /// Begins an exchange that the node will answer in parts. - Returns: its number.
  func beginListing(_ reply: ClientReply, _ start: RequestStart) -> UInt32 {
    exchanges.append(Exchange(reply: reply, start: start, listing: .awaitsPart))
    return (headNumber &+ UInt32(exchangesInProgress) &- 1) & SlabKey.generationMask
  }

  /// The listing whose next part may be asked for now, if there is one; it is taken to have been.
  func listingToContinue() -> UInt32? {
    guard head < exchanges.count, case .hasPart? = exchanges[head].listing,
      output.pendingBytes <= ClientConnection.listingBytesPausing
    else { return nil }
    exchanges[head].listing = .awaitsPart
    return headNumber
  }

  /// The listing that the node still makes. Nothing is begun behind it, so it is the last exchange.
  var openListing: UInt32? {
    guard head < exchanges.count else { return nil }
    switch exchanges[exchanges.count - 1].listing {
    case .awaitsPart, .hasPart: return (headNumber &+ UInt32(exchangesInProgress - 1)) & SlabKey.generationMask
    case .ended, nil: return nil
    }
  }

  /// Sends bytes in their turn: behind the answers to all earlier requests.
  func send(_ bytes: [UInt8]) {
    if exchangesInProgress == 0 {
      output.bytes.append(contentsOf: bytes)
    } else {
      exchanges.append(Exchange(reply: nil, start: nil, answer: bytes))
      heldBytes += bytes.count
    }
  }

  /// What is to be asked next in the exchange with this number, when `response` is not yet its answer.
  func continuation(of number: UInt32, after response: ClientResponse) -> ClientRequest? {
    let place = head + Int((number &- headNumber) & SlabKey.generationMask)
    guard isBinary, place < exchanges.count, case .binary(var reply)? = exchanges[place].reply,
      let request = reply.takeWrite(after: response)
    else { return nil }
    exchanges[place].reply = .binary(reply)
    waitingBytes = 0
    return request
  }

  /// Answers the exchange with this number and tells when it began; nil when there is none waiting under it.
  func answer(_ number: UInt32, with response: ClientResponse) -> RequestStart? {
    let place = head + Int((number &- headNumber) & SlabKey.generationMask)
    guard place < exchanges.count, let reply = exchanges[place].reply, exchanges[place].answer == nil else {
      return nil
    }
    let start = exchanges[place].start
    waitingBytes = 0
    if place == head {
      reply.encode(response, into: &output.bytes)
      retireHead()
      releaseAnswers()
    } else {
      var bytes: [UInt8] = []
      reply.encode(response, into: &bytes)
      hold(bytes, at: place)
    }
    return start
  }

  /// Answers the operator's request with this number with a document; nothing when there is none waiting under it.
  func answer(_ number: UInt32, with document: JSON, status: Int) {
    let place = head + Int((number &- headNumber) & SlabKey.generationMask)
    guard place < exchanges.count, case .http(let reply)? = exchanges[place].reply, exchanges[place].answer == nil
    else { return }
    var bytes: [UInt8] = []
    reply.encode(json: document.bytes, status: status, into: &bytes)
    hold(bytes, at: place)
    if place == head { releaseAnswers() }
  }

  /// The same with bytes as they are.
  func answer(_ number: UInt32, withBytes content: [UInt8]) {
    let place = head + Int((number &- headNumber) & SlabKey.generationMask)
    guard place < exchanges.count, case .http(let reply)? = exchanges[place].reply, exchanges[place].answer == nil
    else { return }
    var bytes: [UInt8] = []
    reply.encode(bytes: content, into: &bytes)
    hold(bytes, at: place)
    if place == head { releaseAnswers() }
  }

  private func hold(_ bytes: [UInt8], at place: Int) {
    exchanges[place].answer = bytes
    heldBytes += bytes.count
  }

  /// What was asked for and has no answer yet.
  var unanswered: [RequestOperation] {
    exchanges[head...].compactMap { $0.isAnswered ? nil : $0.start?.operation }
  }

  /// Answers part of the listing with this number and tells when it began; nil when there is none.
  func answer(_ number: UInt32, with part: ListingPart) -> RequestStart? {
    let place = head + Int((number &- headNumber) & SlabKey.generationMask)
    guard place < exchanges.count, exchanges[place].listing != nil, var reply = exchanges[place].reply else {
      return nil
    }
    let start = exchanges[place].start
    // Taken out while it is changed, so that nothing is copied.
    exchanges[place].reply = nil
    let progress: HTTPReply.Progress
    if place == head {
      progress = reply.encode(part, into: &output.bytes)
    } else {
      var bytes = exchanges[place].answer ?? []
      exchanges[place].answer = nil
      heldBytes -= bytes.count
      progress = reply.encode(part, into: &bytes)
      heldBytes += bytes.count
      exchanges[place].answer = bytes
    }
    exchanges[place].reply = reply
    exchanges[place].listing = progress == .begun ? .hasPart : .ended(progress)
    if place == head { releaseAnswers() }
    return start
  }

  /// Lets those answers out that nothing stands before any more.
  private func releaseAnswers() {
    while head < exchanges.count {
      if let bytes = exchanges[head].answer {
        output.bytes.append(contentsOf: bytes)
        heldBytes -= bytes.count
        exchanges[head].answer = nil
        if exchanges[head].listing == nil {
          retireHead()
          continue
        }
      }
      guard case .ended(let progress)? = exchanges[head].listing else { return }
      retireHead()
      // Nothing follows an answer that could not be completed: the client learns by the end of the connection.
      if progress == .broken { isFinishing = true }
    }
  }

  private func retireHead() {
    exchanges[head] = Exchange(reply: nil, start: nil)
    head += 1
    headNumber = (headNumber &+ 1) & SlabKey.generationMask
    if head == exchanges.count {
      exchanges.removeAll(keepingCapacity: true)
      head = 0
    } else if head >= ClientConnection.exchangesMax {
      exchanges.removeSubrange(..<head)
      head = 0
    }
  }
}
