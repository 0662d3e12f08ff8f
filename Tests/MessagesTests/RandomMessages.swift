import Causality
import Messages
import Primitives
import Storage

// Random messages of every case, for the tests of the codec and the frames.

struct RandomMessages {
  private var random: SeededGenerator
  /// The longest value or payload.
  var valueBytesMax = 300

  init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  static let cases = 20

  mutating func below(_ bound: Int) -> Int { random.below(bound) }

  mutating func message(_ kind: Int) -> PeerMessage {
    PeerMessage(time: time(), body: body(kind))
  }

  private mutating func body(_ kind: Int) -> PeerBody {
    switch kind {
    case 0: .hello(hello())
    case 1:
      .helloReply(
        HelloReply(
          yourBootID: random.next(), refusal: HelloRefusal(rawValue: UInt8(random.below(9))),
          knownEdition: random.next() >> 1))
    case 2: .ping(ping())
    case 3: .storeStates(storeStates())
    case 4: .push(push())
    case 5: .pushReply(PushReply(operation: random.next(), stamp: stamp(), outcome: pushOutcome()))
    case 6: .read(PeerRead(subject(), operation: random.next(), store: store(), configID: random.next(), key: key()))
    case 7:
      .readReply(
        PeerReadReply(
          operation: random.next(), outcome: readOutcome(), validatedWith: UInt16(truncatingIfNeeded: u32())))
    case 8: .forward(forward())
    case 9:
      .forwardReply(
        ForwardReply(operation: random.next(), bootID: random.next(), outcome: forwardOutcome()))
    case 10:
      .list(
        PeerList(
          operation: random.next(), sequence: u32(), store: store(), configID: random.next(), from: random.next(),
          pattern: pattern()))
    case 11:
      .pingReply(
        PingReply(
          bootID: random.next(), yourBootID: random.next(), sequence: random.next(),
          wallMilliseconds: time().milliseconds))
    case 12: .pingRequest(PingRequest(bootID: random.next(), target: NodeID(u32()), sequence: random.next()))
    case 13: .pingRelayed(PingRelayed(yourBootID: random.next(), target: NodeID(u32()), sequence: random.next()))
    case 14:
      .compare(
        PeerCompare(
          operation: random.next(), valuesOnly: flag(), leftBy: random.next() % (Expiry.last.leaves + 1),
          subject: compareSubject()))
    case 15: .compareReply(PeerCompareReply(operation: random.next(), outcome: compareOutcome()))
    case 16:
      .pull(
        PeerPull(
          operation: random.next(), store: store(), configID: random.next(), wantsDurable: flag(),
          subject: pullSubject()))
    case 18: .storeStatesReply(storeStatesReply())
    case 17: .pullReply(PeerPullReply(operation: random.next(), outcome: pullAnswer()))
    default: .listReply(PeerListReply(operation: random.next(), sequence: u32(), outcome: listOutcome()))
    }
  }

  private mutating func flag() -> Bool { random.chance(1, in: 2) }
  private mutating func u32() -> UInt32 { UInt32(truncatingIfNeeded: random.next()) }
  private mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
  }
  private mutating func value() -> [UInt8] { bytes(random.below(valueBytesMax + 1)) }
  private mutating func text() -> String { String("größer als 雪 und 🪨".prefix(random.below(20))) }
  private mutating func identity() -> Identity128 { Identity128(high: random.next(), low: random.next()) }
  private mutating func time() -> HybridTime { HybridTime(random.next() % HybridTime.ceiling.rawValue) }
  private mutating func stamp() -> Stamp { Stamp(time: time(), actor: ActorID(u32())) }
  private mutating func store() -> StoreID {
    StoreID(partition: UInt16(truncatingIfNeeded: u32()), replicas: UInt8(1 + random.below(5)))
  }
  private mutating func refusal() -> Refusal { Refusal(rawValue: UInt8(1 + random.below(12))) ?? .loading }

  private mutating func key() -> ObjectKey {
    let type = random.chance(1, in: 3) ? bytes(1 + random.below(8)) : []
    guard let key = ObjectKey(type: type, bucket: bytes(1 + random.below(9)), key: bytes(1 + random.below(40))) else {
      fatalError("a short key is a key")
    }
    return key
  }

  private mutating func pattern() -> KeyPattern {
    KeyPattern((0..<random.below(3)).map { _ in KeyPattern.Part(offset: random.below(9), bytes: value()) })
  }

  private mutating func listOutcome() -> ListOutcome {
    guard random.chance(2, in: 3) else { return .refused(refusal()) }
    var bytes: [UInt8] = []
    var hash = random.next() >> 1
    for _ in 0..<random.below(5) {
      bytes.appendLittleEndian(hash)
      stamp().append(to: &bytes)
      bytes.append(flag() ? 1 : 0)
      let key = key().encoded
      bytes.appendLittleEndian(UInt32(key.count))
      bytes += key
      hash += random.next() >> 8
    }
    guard let page = KeyPage(decoding: bytes, next: flag() ? hash + 1 : nil, floor: stamp()) else {
      fatalError("a page")
    }
    return .page(page)
  }

  // MARK: - Exchanges

  private mutating func treeHash() -> TreeHash { TreeHash(values: random.next(), tombstones: random.next()) }

  private mutating func segment() -> Int { random.below(HashTree.segmentCount) }

  private mutating func compareSubject() -> CompareSubject {
    switch random.below(3) {
    case 0:
      .roots(
        (0..<random.below(5)).map { _ in StoreRoot(store: store(), configID: random.next(), root: treeHash()) },
        beginsRound: flag())
    case 1: .segments(store(), configID: random.next(), (0..<HashTree.segmentCount).map { _ in treeHash() })
    default:
      .slots(
        store(), configID: random.next(),
        SlotQuestion(
          segment: segment(), hash: treeHash(), leaves: flag() ? [] : (0..<1 << random.below(5)).map { _ in u32() },
          from: random.next()))
    }
  }

  private mutating func compareOutcome() -> CompareOutcome {
    switch random.below(4) {
    case 0:
      .roots(
        (0..<random.below(5)).map { _ in
          let verdicts: [RootAnswer.Verdict] = [.equal, .differs(treeHash()), .refused(refusal())]
          return RootAnswer(
            store: store(), verdict: verdicts[random.below(3)],
            activity: RootAnswer.Activity(rawValue: UInt8(random.below(3))) ?? .none)
        })
    case 1:
      .segments(SegmentAnswer(differing: u32(), keys: random.next(), bytes: random.next(), floor: stamp()))
    case 2: .slots(slotPage())
    default: .refused(refusal())
    }
  }

  /// Ascending, and what may be the hash after them.
  private mutating func hashes(_ count: Int) -> (hashes: [UInt64], next: UInt64) {
    var hashes: [UInt64] = []
    var hash = random.next() >> 1
    for _ in 0..<count {
      hashes.append(hash)
      hash += 1 + random.next() >> 8
    }
    return (hashes, hash)
  }

  private mutating func slotPage() -> SlotPage {
    let (hashes, next) = hashes(random.below(5))
    return SlotPage(
      slots: hashes.map { SlotDigest(hash: $0, digest: UInt16(random.below(512)), isTombstone: flag()) },
      next: flag() ? next : nil, isHidden: flag())
  }

  private mutating func pullSubject() -> PullSubject {
    if flag() { return .range(segment: segment(), from: random.next()) }
    return .items(hashes(random.below(5)).hashes.map { PullItem(hash: $0, above: stamp()) })
  }

  private mutating func pullAnswer() -> PullAnswer {
    guard random.chance(2, in: 3) else { return .refused(refusal()) }
    let records = (0..<random.below(4)).map { _ in PulledRecord(key: key().encoded, version: version()) }
    return .page(PullPage(records: records, next: flag() ? random.next() : nil, floor: stamp()))
  }

  private mutating func ping() -> Ping {
    Ping(
      bootID: random.next(), sequence: random.next(),
      suspects: (0..<random.below(9)).map { _ in NodeID(u32()) }, edition: random.next() >> 1)
  }

  private mutating func hello() -> Hello {
    let cluster = ClusterIdentity(
      id: identity(), ringSeed: random.next(), partitions: 1 << UInt16(random.below(16)), replicas: 3)
    var hello = Hello(
      node: NodeID(u32()), name: text(), bootID: random.next(), knownBootID: random.next(), actor: ActorID(u32()),
      cluster: flag() ? cluster : nil, membersDigest: random.next(), ringEpoch: random.next(),
      wallMilliseconds: time().milliseconds, edition: random.next() >> 1,
      lineage: (0..<random.below(65)).map { _ in BootEdition(bootID: random.next(), edition: random.next() >> 1) })
    hello.versions = 1...UInt16(1 + random.below(9))
    return hello
  }

  private mutating func storeStates() -> StoreStates {
    StoreStates(
      bootID: random.next(), yourBootID: random.next(), sequence: random.next(),
      states: (0..<random.below(5)).map { _ in storeState() })
  }

  private mutating func storeState() -> StoreState {
    StoreState(
      store: store(), incarnation: identity(), configID: random.next(),
      role: StoreRole(rawValue: UInt8(1 + random.below(4))) ?? .active, isNew: flag(), holds: flag(),
      recognizes: identity(), tsnHead: random.next(), floor: stamp(),
      cursor: StoreState.Cursor(incarnation: identity(), tsn: random.next()))
  }

  private mutating func storeStatesReply() -> StoreStatesReply {
    StoreStatesReply(
      bootID: random.next(), yourBootID: random.next(), answers: random.next(), follows: random.next(),
      verdicts: (0..<random.below(5)).map { _ in
        StoreVerdict(
          store: store(), incarnation: identity(),
          judgement: StoreVerdict.Judgement(rawValue: UInt8(1 + random.below(8))) ?? .ok)
      },
      feeds: (0..<random.below(3)).map { _ in storeFeed() })
  }

  private mutating func storeFeed() -> StoreFeed {
    let after = random.next() >> 2
    var entries: [FeedEntry] = []
    var tsn = after
    for _ in 0..<random.below(4) {
      tsn += 1 + UInt64(random.below(3))
      entries.append(FeedEntry(tsn: tsn, key: key().encoded, stamp: stamp()))
    }
    let next = tsn + UInt64(random.below(3))
    return StoreFeed(
      store: store(), incarnation: identity(), after: after, next: next, head: next + UInt64(random.below(3)),
      entries: entries)
  }

  private mutating func version() -> StoredVersion {
    let isTombstone = flag()
    return StoredVersion(
      stamp: stamp(), isTombstone: isTombstone, value: isTombstone ? [] : value(),
      expiry: isTombstone ? .never : expiry())
  }

  private mutating func push() -> Push {
    Push(
      kind: pushKind(), operation: random.next(), store: store(), configID: random.next(), key: key(),
      version: version(), wantsApplied: flag(), wantsSynced: flag())
  }

  private mutating func pushKind() -> PushKind {
    switch random.below(4) {
    case 0: .write
    case 1: .repair
    case 2: .handoff
    default: .hint(for: NodeID(u32()))
    }
  }

  private mutating func subject() -> ReadSubject { ReadSubject(rawValue: UInt8(1 + random.below(3))) ?? .value }

  private mutating func pushOutcome() -> PushOutcome {
    switch random.below(6) {
    case 0: .applied(synced: flag())
    case 1: .haveNewer(stamp(), synced: flag())
    case 2: .stale(time())
    case 3: .handled
    case 4: .retry
    default: .refused(refusal())
    }
  }

  private mutating func readOutcome() -> ReadOutcome {
    switch random.below(4) {
    case 0: .found(version())
    case 1: .absent(floor: stamp())
    case 2: flag() ? .digest(stamp(), isTombstone: true) : .digest(stamp(), isTombstone: false, expiry: expiry())
    default: .refused(refusal())
    }
  }

  private mutating func forward() -> Forward {
    Forward(
      operation: random.next(), bootID: random.next(), request: request(), stamp: flag() ? stamp() : nil,
      isFirstAttempt: flag(), remainingMilliseconds: u32())
  }

  private mutating func forwardOutcome() -> ForwardOutcome {
    switch random.below(4) {
    case 0: .done(response())
    case 1: .restamp(time())
    case 2: .loan(stamp())
    default: .refused(refusal())
    }
  }

  private mutating func size() -> QuorumSize {
    let sizes: [QuorumSize] = [.default, .one, .quorum, .all, .count(random.below(256))]
    return sizes[random.below(sizes.count)]
  }

  private mutating func expiry() -> Expiry {
    flag() ? .never : Expiry(milliseconds: 1 + random.next() % Expiry.last.milliseconds)
  }

  private mutating func lifetime() -> Lifetime {
    switch random.below(4) {
    case 0: .standard
    case 1: .unlimited
    case 2: .seconds(1 + u32() % Expiry.lifetimeSecondsMax)
    default: .until(Expiry(milliseconds: 1 + random.next() % Expiry.last.milliseconds))
    }
  }

  private mutating func quorum() -> WriteQuorum {
    var quorum = WriteQuorum()
    quorum.w = size()
    quorum.dw = size()
    quorum.pw = size()
    return quorum
  }

  private mutating func request() -> ClientRequest {
    let timeout = flag() ? u32() : nil
    switch random.below(3) {
    case 0:
      var get = GetRequest(key: key())
      get.r = size()
      get.pr = size()
      get.timeoutMilliseconds = timeout
      return .get(get)
    case 1:
      var put = PutRequest(key: key(), payload: value())
      put.quorum = quorum()
      put.timeoutMilliseconds = timeout
      put.context = flag() ? stamp() : nil
      put.lifetime = lifetime()
      return .put(put)
    default:
      var delete = DeleteRequest(key: key())
      delete.quorum = quorum()
      delete.timeoutMilliseconds = timeout
      delete.always = flag()
      delete.context = flag() ? stamp() : nil
      return .delete(delete)
    }
  }

  private mutating func response() -> ClientResponse {
    switch random.below(6) {
    case 0: .object(stamp: stamp(), payload: value(), expiry: expiry())
    case 1: .notFound(tombstone: flag() ? stamp() : nil)
    case 2: .stored(stamp: stamp())
    case 3: .deleted(stamp: stamp())
    default: .failed(failure())
    }
  }

  private mutating func failure() -> ClientFailure {
    switch random.below(9) {
    case 0:
      .unsatisfied(
        QuorumName(rawValue: UInt8(1 + random.below(5))) ?? .r, wanted: random.below(9), got: random.below(9),
        detail: text())
    case 1: .timeout(detail: text())
    case 2: .invalidQuorum(n: random.below(9))
    case 3: .overloaded(detail: text())
    case 4: .notReady(detail: text())
    case 5: .invalidContext
    case 6: .full(detail: text())
    case 7: .unavailable(detail: text())
    default: .damaged(detail: text())
    }
  }
}

extension PeerMessage {
  var encoded: [UInt8] {
    var bytes: [UInt8] = []
    encode(into: &bytes)
    return bytes
  }

  init(decoding bytes: [UInt8]) throws(CodecError) {
    var reader = ByteReader(bytes)
    try self.init(decoding: &reader)
  }
}
