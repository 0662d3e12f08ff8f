import Messages

// What is told of buckets and of a key's place. Properties are the same for all buckets and cannot be changed: to set them
// to what they are is no change; a client that does so as a habit goes on.

extension RpbBucketProps {
  /// Those of every bucket, the same as over HTTP (`BucketProperties`).
  init(replicas: Int) {
    self.init()
    self.replicas = UInt32(replicas)
    allowMult = false
    lastWriteWins = false
    hasPrecommit = false
    hasPostcommit = false
    r = PBQuorum.quorum
    w = PBQuorum.quorum
    dw = PBQuorum.quorum
    rw = PBQuorum.quorum
    pr = 1
    pw = 1
    basicQuorum = false
    notFoundOK = true
  }

  /// Throws when `wanted` says of any property something else than what it is; what does not exist here may be switched
  /// off.
  func check(wanted: RpbBucketProps) throws(PBRefusal) {
    let n = Int(replicas ?? 0)
    func number(_ name: StaticString, _ wanted: UInt32?, _ value: UInt32?) throws(PBRefusal) {
      guard let wanted, wanted != PBQuorum.default, wanted != value else { return }
      func resolved(_ size: UInt32?) -> Int? {
        guard let size = try? PBSession.quorum("", size) else { return nil }
        return size.resolved(n: n, default: 0)
      }
      guard resolved(wanted) == resolved(value) else { throw .invalidProperty(name, "cannot_be_changed") }
    }
    func flag(_ name: StaticString, _ wanted: Bool?, _ value: Bool) throws(PBRefusal) {
      guard wanted ?? value == value else { throw .invalidProperty(name, "cannot_be_changed") }
    }
    func absent(_ name: StaticString, _ isWanted: Bool) throws(PBRefusal) {
      if isWanted { throw .invalidProperty(name, "not_supported") }
    }
    // Not a quorum: a name such as `all` is no number of replicas.
    guard wanted.replicas ?? replicas == replicas else { throw .invalidProperty("n_val", "cannot_be_changed") }
    try number("r", wanted.r, r)
    try number("w", wanted.w, w)
    try number("dw", wanted.dw, dw)
    try number("rw", wanted.rw, rw)
    // Riak's defaults of these two are 0, which asks for less than there is.
    try number("pr", wanted.pr == 0 ? nil : wanted.pr, pr)
    try number("pw", wanted.pw == 0 ? nil : wanted.pw, pw)
    try flag("allow_mult", wanted.allowMult, false)
    try flag("last_write_wins", wanted.lastWriteWins, false)
    try flag("basic_quorum", wanted.basicQuorum, false)
    try flag("notfound_ok", wanted.notFoundOK, true)
    try absent("precommit", !wanted.precommit.isEmpty || wanted.hasPrecommit == true)
    try absent("postcommit", !wanted.postcommit.isEmpty || wanted.hasPostcommit == true)
    try absent("search", wanted.search == true)
    try absent("search_index", wanted.searchIndex.map { !$0.isEmpty } ?? false)
    try absent("datatype", wanted.dataType.map { !$0.isEmpty } ?? false)
    try absent("consistent", wanted.consistent == true)
    try absent("write_once", wanted.writeOnce == true)
    try absent("repl", wanted.replication.map { $0 != 0 } ?? false)
    try absent("backend", wanted.backend.map { !$0.isEmpty } ?? false)
    try absent("chash_keyfun", wanted.hashFunction != nil)
    try absent("linkfun", wanted.linkFunction != nil)
    try absent("old_vclock", wanted.oldClock != nil)
    try absent("young_vclock", wanted.youngClock != nil)
    try absent("big_vclock", wanted.bigClock != nil)
    try absent("small_vclock", wanted.smallClock != nil)
    try absent("hll_precision", wanted.hllPrecision != nil)
  }
}

/// Answers that the server makes itself.
package enum PBAnswers {
  package static func error(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendErrorFrame(text)
    return bytes
  }

  /// Where a key lies: the nodes that would be asked for it now, owners first.
  package static func preflist(partition: Int, nodes: [(name: String, isOwner: Bool)]) -> [UInt8] {
    var bytes: [UInt8] = []
    var response = RpbGetBucketKeyPreflistResp()
    response.preflist = nodes.map {
      RpbBucketKeyPreflistItem(partition: Int64(partition), node: [UInt8]($0.name.utf8)[...], primary: $0.isOwner)
    }
    bytes.appendFrame(.preflistResponse, response)
    return bytes
  }
}
