import Causality
import Messages

// From Riak's messages to what the node is asked. What a client asks of nodes beyond r and w becomes a larger quorum, never
// a smaller promise; options that change nothing here are taken and have no effect: absence is an answer, always.

extension PBSession {
  func get(_ request: RpbGetReq) throws(PBRefusal) -> PBAction {
    let key = try PBSession.key(bucket: request.bucket, key: request.key, type: request.type)
    try check(replicas: request.replicas)
    var get = GetRequest(key: key)
    get.r = raised(try quorum("r", request.r), to: try confirms(request.nodeConfirms), default: majority)
    get.pr = ownersOnly(request.sloppyQuorum, try quorum("pr", request.pr, mayBeZero: true), of: get.r)
    get.timeoutMilliseconds = PBSession.timeout(request.timeout)
    var reply = PBReply(.get)
    reply.isHead = request.head ?? false
    reply.showsTombstone = request.deletedClock ?? false
    if let known = try PBSession.stamp(request.ifModified) { reply.special = [.ifModified(known)] }
    return .request(.get(get), reply)
  }

  mutating func put(_ request: RpbPutReq) throws(PBRefusal) -> PBAction {
    var terms = PBReply.PutTerms()
    if request.key == nil { terms.madeKey = try makeKey() }
    let key = try PBSession.key(bucket: request.bucket, key: request.key ?? terms.madeKey?[...], type: request.type)
    try check(replicas: request.replicas)
    guard let content = request.content else { throw PBRefusal(.truncated) }
    var put = PutRequest(key: key, payload: try content.payload())
    put.quorum = try quorum(w: request.w, dw: request.dw, pw: request.pw)
    put.quorum.w = raised(put.quorum.w, to: try confirms(request.nodeConfirms), default: majority)
    put.quorum.pw = ownersOnly(request.sloppyQuorum, put.quorum.pw, of: put.quorum.w)
    put.timeoutMilliseconds = PBSession.timeout(request.timeout)
    put.context = try PBSession.stamp(request.vclock)
    terms.echoesValue = request.returnBody ?? false
    if terms.echoesValue || request.returnHead ?? false { terms.echo = put.payload }
    var condition: PBReply.Condition?
    if request.ifNotModified ?? false { condition = .version(put.context) }
    if request.ifNoneMatch ?? false { condition = .nothingThere }
    terms.conditional = condition.map { (put, $0) }
    var reply = PBReply(.put)
    if !terms.isEmpty { reply.special = [.put(terms)] }
    guard condition != nil else { return .request(.put(put), reply) }
    var get = GetRequest(key: key)
    get.pr = ownersOnly(request.sloppyQuorum, .default, of: get.r)
    get.timeoutMilliseconds = put.timeoutMilliseconds
    return .request(.get(get), reply)
  }

  func delete(_ request: RpbDelReq) throws(PBRefusal) -> PBAction {
    let key = try PBSession.key(bucket: request.bucket, key: request.key, type: request.type)
    try check(replicas: request.replicas)
    // Nothing is read before the tombstone is written: of the quorums that are of a read only the form counts.
    _ = try quorum("r", request.r)
    _ = try quorum("pr", request.pr, mayBeZero: true)
    let fallback = try quorum("rw", request.rw)
    var delete = DeleteRequest(key: key)
    delete.quorum = try quorum(w: request.w, dw: request.dw, pw: request.pw)
    if request.w == nil { delete.quorum.w = fallback }
    delete.quorum.pw = ownersOnly(request.sloppyQuorum, delete.quorum.pw, of: delete.quorum.w)
    delete.timeoutMilliseconds = PBSession.timeout(request.timeout)
    delete.context = try PBSession.stamp(request.vclock)
    delete.always = true
    return .request(.delete(delete), PBReply(.delete))
  }

  func listBuckets(_ request: RpbListBucketsReq) throws(PBRefusal) -> PBAction {
    try PBSession.check(type: request.type)
    var list = ListRequest(.buckets)
    list.timeoutMilliseconds = PBSession.timeout(request.timeout)
    return .list(list, PBReply(request.stream ?? false ? .bucketsInParts : .buckets))
  }

  func listKeys(_ request: RpbListKeysReq) throws(PBRefusal) -> PBAction {
    try PBSession.check(bucket: request.bucket, type: request.type)
    var list = ListRequest(.keys(bucket: Array(request.bucket ?? [])))
    list.timeoutMilliseconds = PBSession.timeout(request.timeout)
    return .list(list, PBReply(.keys))
  }
}

// MARK: - Fields

extension PBSession {
  static func key(bucket: PBBytes?, key: PBBytes?, type: PBBytes?) throws(PBRefusal) -> ObjectKey {
    try check(bucket: bucket, type: type)
    guard let key, !key.isEmpty else { throw .emptyKey }
    guard let object = ObjectKey(bucket: Array(bucket ?? []), key: Array(key)) else { throw .nameTooLong }
    return object
  }

  static func check(bucket: PBBytes?, type: PBBytes?) throws(PBRefusal) {
    guard let bucket, !bucket.isEmpty else { throw .emptyBucket }
    guard bucket.count < ObjectKey.byteCountMax else { throw .nameTooLong }
    try check(type: type)
  }

  /// There is one bucket type, whether it is named or not.
  static func check(type: PBBytes?) throws(PBRefusal) {
    guard let type else { return }
    guard !type.isEmpty else { throw .emptyType }
    guard type.elementsEqual(ObjectKey.defaultType) else { throw .noType(type) }
  }

  /// An n_val of a request has no effect; it must be one that could be met.
  private func check(replicas: UInt32?) throws(PBRefusal) {
    guard let replicas else { return }
    guard replicas > 0, replicas <= configuration.replicas else {
      throw PBRefusal(.invalidQuorum(n: Int(replicas)))
    }
  }

  /// - Parameter mayBeZero: Riak's default of a quorum that counts only owners, or syncs, is to ask for none. What counts
  ///   here is the bucket's: a 0 must not make a promise weaker than that.
  static func quorum(_ name: String, _ value: UInt32?, mayBeZero: Bool = false) throws(PBRefusal) -> QuorumSize {
    switch value {
    case nil, PBQuorum.default: return .default
    case PBQuorum.one: return .one
    case PBQuorum.quorum: return .quorum
    case PBQuorum.all: return .all
    case 0?:
      guard mayBeZero else { throw PBRefusal("{\(name)_val_violation,0}") }
      return .default
    case let count?: return .count(Int(count))
    }
  }

  /// A quorum of a request, of no more nodes than a key has.
  private func quorum(_ name: String, _ value: UInt32?, mayBeZero: Bool = false) throws(PBRefusal) -> QuorumSize {
    let size = try PBSession.quorum(name, value, mayBeZero: mayBeZero)
    if case .count(let count) = size, count > configuration.replicas {
      throw PBRefusal(.invalidQuorum(n: configuration.replicas))
    }
    return size
  }

  private func quorum(w: UInt32?, dw: UInt32?, pw: UInt32?) throws(PBRefusal) -> WriteQuorum {
    var quorum = WriteQuorum()
    quorum.w = try self.quorum("w", w)
    quorum.dw = try self.quorum("dw", dw, mayBeZero: true)
    quorum.pw = try self.quorum("pw", pw, mayBeZero: true)
    return quorum
  }

  /// What r and w are where nobody says it.
  private var majority: Int { configuration.replicas / 2 + 1 }
  /// What pr and pw are where nobody says it.
  private static let ownersDefault = 1

  /// Distinct nodes that are to have answered: r and w count such nodes always.
  private func confirms(_ value: UInt32?) throws(PBRefusal) -> Int {
    try quorum("node_confirms", value, mayBeZero: true).resolved(n: configuration.replicas, default: 0)
  }

  /// `size`, or `count` where that is more.
  private func raised(_ size: QuorumSize, to count: Int, default fallback: Int) -> QuorumSize {
    count > size.resolved(n: configuration.replicas, default: fallback) ? .count(count) : size
  }

  /// How many owners must have answered: without a sloppy quorum, all nodes of `whole` must be owners.
  private func ownersOnly(_ isSloppy: Bool?, _ owners: QuorumSize, of whole: QuorumSize) -> QuorumSize {
    guard isSloppy == false else { return owners }
    let count = whole.resolved(n: configuration.replicas, default: majority)
    return raised(owners, to: count, default: PBSession.ownersDefault)
  }

  /// Milliseconds; 0 is none.
  static func timeout(_ milliseconds: UInt32?) -> UInt32? { milliseconds == 0 ? nil : milliseconds }

  /// The version that a client brings; nothing and no bytes are none.
  static func stamp(_ clock: PBBytes?) throws(PBRefusal) -> Stamp? {
    guard let clock, !clock.isEmpty else { return nil }
    guard let stamp = Stamp(encoded: Array(clock)) else { throw .foreignClock }
    guard stamp.time < .ceiling else { throw .clockAhead }
    return stamp
  }
}

/// Quorums that are named rather than counted, as Riak's clients write them.
enum PBQuorum {
  static let one: UInt32 = 0xFFFF_FFFE
  static let quorum: UInt32 = 0xFFFF_FFFD
  static let all: UInt32 = 0xFFFF_FFFC
  static let `default`: UInt32 = 0xFFFF_FFFB
}
