import Causality
package import Primitives
import Storage

// Peer messages as bytes: `tag u8 | hybrid time u64 | body`, little-endian. A message stands alone in its range of
// bytes: too few or too many of them is an error. `hello` and `helloReply` keep this form in every later version, so
// that nodes of different versions can tell each other so.

extension PeerMessage {
  /// The version of this encoding; what `Hello` offers and agrees on.
  package static let wireVersion: UInt16 = 6

  private enum Tag: UInt8 {
    case hello = 1
    case helloReply
    // 3 was the heartbeat of version 1.
    case storeStates = 4
    case ping, pingReply, pingRequest, pingRelayed
    case storeStatesReply
    case push = 16
    case pushReply, read, readReply, forward, forwardReply, list, listReply
    case compare = 32
    case compareReply, pull, pullReply
  }

  /// Appends the message.
  package func encode(into bytes: inout [UInt8]) {
    bytes.append(tag.rawValue)
    bytes.appendLittleEndian(time.rawValue)
    switch body {
    case .push(let push): push.append(to: &bytes)
    case .pushReply(let reply): reply.append(to: &bytes)
    case .read(let read): read.append(to: &bytes)
    case .readReply(let reply): reply.append(to: &bytes)
    case .forward(let forward): forward.append(to: &bytes)
    case .forwardReply(let reply): reply.append(to: &bytes)
    case .list(let list): list.append(to: &bytes)
    case .listReply(let reply): reply.append(to: &bytes)
    case .compare(let compare): compare.append(to: &bytes)
    case .compareReply(let reply): reply.append(to: &bytes)
    case .pull(let pull): pull.append(to: &bytes)
    case .pullReply(let reply): reply.append(to: &bytes)
    case .hello(let hello): hello.append(to: &bytes)
    case .helloReply(let reply): reply.append(to: &bytes)
    case .ping(let ping): ping.append(to: &bytes)
    case .pingReply(let reply): reply.append(to: &bytes)
    case .pingRequest(let request): request.append(to: &bytes)
    case .pingRelayed(let relayed): relayed.append(to: &bytes)
    case .storeStates(let announced): announced.append(to: &bytes)
    case .storeStatesReply(let reply): reply.append(to: &bytes)
    }
  }

  /// Reads one message, which must be all that is left in `reader`.
  package init(decoding reader: inout ByteReader) throws(CodecError) {
    let tag = try reader.takeEnum(Tag.self, "message")
    time = try reader.takeTime()
    switch tag {
    case .push: body = .push(try Push(from: &reader))
    case .pushReply: body = .pushReply(try PushReply(from: &reader))
    case .read: body = .read(try PeerRead(from: &reader))
    case .readReply: body = .readReply(try PeerReadReply(from: &reader))
    case .forward: body = .forward(try Forward(from: &reader))
    case .forwardReply: body = .forwardReply(try ForwardReply(from: &reader))
    case .list: body = .list(try PeerList(from: &reader))
    case .listReply: body = .listReply(try PeerListReply(from: &reader))
    case .compare: body = .compare(try PeerCompare(from: &reader))
    case .compareReply: body = .compareReply(try PeerCompareReply(from: &reader))
    case .pull: body = .pull(try PeerPull(from: &reader))
    case .pullReply: body = .pullReply(try PeerPullReply(from: &reader))
    case .hello: body = .hello(try Hello(from: &reader))
    case .helloReply: body = .helloReply(try HelloReply(from: &reader))
    case .ping: body = .ping(try Ping(from: &reader))
    case .pingReply: body = .pingReply(try PingReply(from: &reader))
    case .pingRequest: body = .pingRequest(try PingRequest(from: &reader))
    case .pingRelayed: body = .pingRelayed(try PingRelayed(from: &reader))
    case .storeStates: body = .storeStates(try StoreStates(from: &reader))
    case .storeStatesReply: body = .storeStatesReply(try StoreStatesReply(from: &reader))
    }
    guard reader.remaining == 0 else { throw .trailingBytes(reader.remaining) }
  }

  private var tag: Tag {
    switch body {
    case .hello: .hello
    case .helloReply: .helloReply
    case .ping: .ping
    case .pingReply: .pingReply
    case .pingRequest: .pingRequest
    case .pingRelayed: .pingRelayed
    case .storeStates: .storeStates
    case .storeStatesReply: .storeStatesReply
    case .push: .push
    case .pushReply: .pushReply
    case .read: .read
    case .readReply: .readReply
    case .forward: .forward
    case .forwardReply: .forwardReply
    case .list: .list
    case .listReply: .listReply
    case .compare: .compare
    case .compareReply: .compareReply
    case .pull: .pull
    case .pullReply: .pullReply
    }
  }

  /// Bytes of the fields that can be long: a cheap lower bound of the encoded size.
  var longFieldBytes: Int {
    switch body {
    case .push(let push): push.key.encoded.count + push.version.value.count
    case .read(let read): read.key.encoded.count
    case .readReply(let reply):
      if case .found(let version) = reply.outcome { version.value.count } else { 0 }
    case .forward(let forward):
      if case .put(let put) = forward.request { put.key.encoded.count + put.payload.count } else { 0 }
    case .forwardReply(let reply):
      if case .done(.object(_, let payload, _)) = reply.outcome { payload.count } else { 0 }
    case .list(let list): list.pattern.parts.reduce(0) { $0 + $1.bytes.count }
    case .listReply(let reply): if case .page(let page) = reply.outcome { page.bytes.count } else { 0 }
    case .storeStates(let announced): announced.states.count * StoreState.byteCount
    case .storeStatesReply(let reply): reply.longFieldBytes
    case .pullReply(let reply):
      if case .page(let page) = reply.outcome { page.records.reduce(0) { $0 + $1.byteCount } } else { 0 }
    // Bounded (`ExchangeLimits`).
    case .compare, .compareReply, .pull: 0
    case .hello, .helloReply, .ping, .pingReply, .pingRequest, .pingRelayed, .pushReply: 0
    }
  }
}

// MARK: - Replication

extension StoreID {
  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(partition)
    bytes.append(replicas)
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let partition = try reader.takeUInt16()
    self.init(partition: partition, replicas: try reader.takeByte())
  }
}

extension Push {
  private static let wantsAppliedFlag: UInt8 = 1
  private static let wantsSyncedFlag: UInt8 = 2
  private enum KindTag: UInt8 {
    case write = 1
    case repair, handoff, hint
  }

  fileprivate func append(to bytes: inout [UInt8]) {
    appendKind(to: &bytes)
    bytes.appendLittleEndian(operation)
    store.append(to: &bytes)
    bytes.appendLittleEndian(configID)
    bytes.append((wantsApplied ? Push.wantsAppliedFlag : 0) | (wantsSynced ? Push.wantsSyncedFlag : 0))
    bytes.appendSized(key.encoded)
    version.append(to: &bytes)
  }

  private func appendKind(to bytes: inout [UInt8]) {
    switch kind {
    case .write: bytes.append(KindTag.write.rawValue)
    case .repair: bytes.append(KindTag.repair.rawValue)
    case .handoff: bytes.append(KindTag.handoff.rawValue)
    case .hint(let owner):
      bytes.append(KindTag.hint.rawValue)
      bytes.appendLittleEndian(owner.rawValue)
    }
  }

  private static func takeKind(_ reader: inout ByteReader) throws(CodecError) -> PushKind {
    switch try reader.takeEnum(KindTag.self, "kind of push") {
    case .write: .write
    case .repair: .repair
    case .handoff: .handoff
    case .hint: .hint(for: NodeID(try reader.takeUInt32()))
    }
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let kind = try Push.takeKind(&reader)
    let operation = try reader.takeUInt64()
    let store = try StoreID(from: &reader)
    let configID = try reader.takeUInt64()
    let flags = try reader.takeFlags("push", known: Push.wantsAppliedFlag | Push.wantsSyncedFlag)
    let key = try reader.takeKey()
    self.init(
      kind: kind, operation: operation, store: store, configID: configID, key: key,
      version: try StoredVersion(from: &reader),
      wantsApplied: flags & Push.wantsAppliedFlag != 0, wantsSynced: flags & Push.wantsSyncedFlag != 0)
  }
}

extension PushReply {
  private enum Tag: UInt8 {
    case applied = 1
    case haveNewer, stale, refused, handled, retry
  }

  fileprivate func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(operation)
    stamp.append(to: &bytes)
    switch outcome {
    case .applied(let synced):
      bytes.append(Tag.applied.rawValue)
      bytes.append(synced ? 1 : 0)
    case .haveNewer(let newer, let synced):
      bytes.append(Tag.haveNewer.rawValue)
      newer.append(to: &bytes)
      bytes.append(synced ? 1 : 0)
    case .stale(let floor):
      bytes.append(Tag.stale.rawValue)
      bytes.appendLittleEndian(floor.rawValue)
    case .handled: bytes.append(Tag.handled.rawValue)
    case .retry: bytes.append(Tag.retry.rawValue)
    case .refused(let refusal):
      bytes.append(Tag.refused.rawValue)
      bytes.append(refusal.rawValue)
    }
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let operation = try reader.takeUInt64()
    let stamp = try reader.takeStamp()
    let outcome: PushOutcome
    switch try reader.takeEnum(Tag.self, "push outcome") {
    case .applied: outcome = .applied(synced: try reader.takeBool("synced"))
    case .haveNewer:
      let newer = try reader.takeStamp()
      outcome = .haveNewer(newer, synced: try reader.takeBool("synced"))
    case .stale: outcome = .stale(try reader.takeTime())
    case .handled: outcome = .handled
    case .retry: outcome = .retry
    case .refused: outcome = .refused(try reader.takeEnum(Refusal.self, "refusal"))
    }
    self.init(operation: operation, stamp: stamp, outcome: outcome)
  }
}

extension PeerRead {
  fileprivate func append(to bytes: inout [UInt8]) {
    bytes.append(subject.rawValue)
    bytes.appendLittleEndian(operation)
    store.append(to: &bytes)
    bytes.appendLittleEndian(configID)
    bytes.appendSized(key.encoded)
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let subject = try reader.takeEnum(ReadSubject.self, "subject of a read")
    let operation = try reader.takeUInt64()
    let store = try StoreID(from: &reader)
    let configID = try reader.takeUInt64()
    self.init(subject, operation: operation, store: store, configID: configID, key: try reader.takeKey())
  }
}

extension PeerReadReply {
  private enum Tag: UInt8 {
    case found = 1
    case absent, refused, digest
  }

  fileprivate func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(operation)
    bytes.appendLittleEndian(validatedWith)
    switch outcome {
    case .found(let version):
      bytes.append(Tag.found.rawValue)
      version.append(to: &bytes)
    case .digest(let stamp, let isTombstone, let expiry):
      bytes.append(Tag.digest.rawValue)
      stamp.append(to: &bytes)
      bytes.appendKind(isTombstone: isTombstone, expiry)
    case .absent(let floor):
      bytes.append(Tag.absent.rawValue)
      floor.append(to: &bytes)
    case .refused(let refusal):
      bytes.append(Tag.refused.rawValue)
      bytes.append(refusal.rawValue)
    }
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let operation = try reader.takeUInt64()
    let validatedWith = try reader.takeUInt16()
    let outcome: ReadOutcome
    switch try reader.takeEnum(Tag.self, "read outcome") {
    case .found: outcome = .found(try StoredVersion(from: &reader))
    case .digest:
      let stamp = try reader.takeStamp()
      let (isTombstone, expiry) = try reader.takeKind()
      outcome = .digest(stamp, isTombstone: isTombstone, expiry: expiry)
    case .absent: outcome = .absent(floor: try reader.takeStamp())
    case .refused: outcome = .refused(try reader.takeEnum(Refusal.self, "refusal"))
    }
    self.init(operation: operation, outcome: outcome, validatedWith: validatedWith)
  }
}

// MARK: - Forwarding

extension Forward {
  private static let stampFlag: UInt8 = 1
  private static let firstAttemptFlag: UInt8 = 2

  fileprivate func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(operation)
    bytes.appendLittleEndian(bootID)
    bytes.appendLittleEndian(remainingMilliseconds)
    bytes.append((stamp == nil ? 0 : Forward.stampFlag) | (isFirstAttempt ? Forward.firstAttemptFlag : 0))
    stamp?.append(to: &bytes)
    request.append(to: &bytes)
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let operation = try reader.takeUInt64()
    let bootID = try reader.takeUInt64()
    let remaining = try reader.takeUInt32()
    let flags = try reader.takeFlags("forward", known: Forward.stampFlag | Forward.firstAttemptFlag)
    let stamp = flags & Forward.stampFlag == 0 ? nil : try reader.takeStamp()
    self.init(
      operation: operation, bootID: bootID, request: try ClientRequest(from: &reader), stamp: stamp,
      isFirstAttempt: flags & Forward.firstAttemptFlag != 0, remainingMilliseconds: remaining)
  }
}

extension ForwardReply {
  private enum Tag: UInt8 {
    case done = 1
    case restamp, loan, refused
  }

  fileprivate func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(operation)
    bytes.appendLittleEndian(bootID)
    switch outcome {
    case .done(let response):
      bytes.append(Tag.done.rawValue)
      response.append(to: &bytes)
    case .restamp(let time):
      bytes.append(Tag.restamp.rawValue)
      bytes.appendLittleEndian(time.rawValue)
    case .loan(let stamp):
      bytes.append(Tag.loan.rawValue)
      stamp.append(to: &bytes)
    case .refused(let refusal):
      bytes.append(Tag.refused.rawValue)
      bytes.append(refusal.rawValue)
    }
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let operation = try reader.takeUInt64()
    let bootID = try reader.takeUInt64()
    let outcome: ForwardOutcome
    switch try reader.takeEnum(Tag.self, "forward outcome") {
    case .done: outcome = .done(try ClientResponse(from: &reader))
    case .restamp: outcome = .restamp(try reader.takeTime())
    case .loan: outcome = .loan(try reader.takeStamp())
    case .refused: outcome = .refused(try reader.takeEnum(Refusal.self, "refusal"))
    }
    self.init(operation: operation, bootID: bootID, outcome: outcome)
  }
}
