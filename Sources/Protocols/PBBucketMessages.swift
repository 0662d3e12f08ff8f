// The messages about buckets, the node and the connection, as Riak numbers their fields.

struct RpbErrorResp: PBMessage {
  static var name: StaticString { "RpbErrorResp" }
  var message: PBBytes?
  var code: UInt32?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &message)
    try visitor.required(2, &code)
  }
}

struct RpbGetServerInfoResp: PBMessage {
  static var name: StaticString { "RpbGetServerInfoResp" }
  var node: PBBytes?
  var serverVersion: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.optional(1, &node)
    try visitor.optional(2, &serverVersion)
  }
}

/// RpbGetClientIdResp and RpbSetClientIdReq.
struct RpbClientID: PBMessage {
  static var name: StaticString { "RpbSetClientIdReq" }
  var clientID: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &clientID)
  }
}

struct RpbListBucketsReq: PBMessage {
  static var name: StaticString { "RpbListBucketsReq" }
  var timeout: UInt32?
  var stream: Bool?
  var type: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.optional(1, &timeout)
    try visitor.optional(2, &stream)
    try visitor.optional(3, &type)
  }
}

struct RpbListKeysReq: PBMessage {
  static var name: StaticString { "RpbListKeysReq" }
  var bucket: PBBytes?
  var timeout: UInt32?
  var type: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &bucket)
    try visitor.optional(2, &timeout)
    try visitor.optional(3, &type)
  }
}

/// RpbListBucketsResp and RpbListKeysResp.
struct RpbListing: PBMessage {
  static var name: StaticString { "RpbListKeysResp" }
  var names: [PBBytes] = []
  var done: Bool?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.repeated(1, &names)
    try visitor.optional(2, &done)
  }
}

/// RpbGetBucketReq and RpbResetBucketReq.
struct RpbBucketReq: PBMessage {
  static var name: StaticString { "RpbGetBucketReq" }
  var bucket: PBBytes?
  var type: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &bucket)
    try visitor.optional(2, &type)
  }
}

struct RpbModFun: PBMessage {
  static var name: StaticString { "RpbModFun" }
  var module: PBBytes?
  var function: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &module)
    try visitor.required(2, &function)
  }
}

struct RpbCommitHook: PBMessage {
  static var name: StaticString { "RpbCommitHook" }
  var function: RpbModFun?
  var hookName: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.optional(1, &function)
    try visitor.optional(2, &hookName)
  }
}

struct RpbBucketProps: PBMessage {
  static var name: StaticString { "RpbBucketProps" }
  var replicas: UInt32?
  var allowMult: Bool?
  var lastWriteWins: Bool?
  var precommit: [RpbCommitHook] = []
  var hasPrecommit: Bool?
  var postcommit: [RpbCommitHook] = []
  var hasPostcommit: Bool?
  var hashFunction: RpbModFun?
  var linkFunction: RpbModFun?
  /// old_vclock, young_vclock, big_vclock, small_vclock.
  var oldClock: UInt32?
  var youngClock: UInt32?
  var bigClock: UInt32?
  var smallClock: UInt32?
  var pr: UInt32?
  var r: UInt32?
  var w: UInt32?
  var pw: UInt32?
  var dw: UInt32?
  var rw: UInt32?
  var basicQuorum: Bool?
  var notFoundOK: Bool?
  var backend: PBBytes?
  var search: Bool?
  var replication: UInt32?
  var searchIndex: PBBytes?
  var dataType: PBBytes?
  var consistent: Bool?
  var writeOnce: Bool?
  var hllPrecision: UInt32?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.optional(1, &replicas)
    try visitor.optional(2, &allowMult)
    try visitor.optional(3, &lastWriteWins)
    try visitor.repeated(4, &precommit)
    try visitor.optional(5, &hasPrecommit)
    try visitor.repeated(6, &postcommit)
    try visitor.optional(7, &hasPostcommit)
    try visitor.optional(8, &hashFunction)
    try visitor.optional(9, &linkFunction)
    try visitor.optional(10, &oldClock)
    try visitor.optional(11, &youngClock)
    try visitor.optional(12, &bigClock)
    try visitor.optional(13, &smallClock)
    try visitor.optional(14, &pr)
    try visitor.optional(15, &r)
    try visitor.optional(16, &w)
    try visitor.optional(17, &pw)
    try visitor.optional(18, &dw)
    try visitor.optional(19, &rw)
    try visitor.optional(20, &basicQuorum)
    try visitor.optional(21, &notFoundOK)
    try visitor.optional(22, &backend)
    try visitor.optional(23, &search)
    try visitor.optional(24, &replication)
    try visitor.optional(25, &searchIndex)
    try visitor.optional(26, &dataType)
    try visitor.optional(27, &consistent)
    try visitor.optional(28, &writeOnce)
    try visitor.optional(29, &hllPrecision)
  }
}

struct RpbGetBucketResp: PBMessage {
  static var name: StaticString { "RpbGetBucketResp" }
  var properties: RpbBucketProps?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &properties)
  }
}

struct RpbSetBucketReq: PBMessage {
  static var name: StaticString { "RpbSetBucketReq" }
  var bucket: PBBytes?
  var properties: RpbBucketProps?
  var type: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &bucket)
    try visitor.required(2, &properties)
    try visitor.optional(3, &type)
  }
}

struct RpbGetBucketKeyPreflistReq: PBMessage {
  static var name: StaticString { "RpbGetBucketKeyPreflistReq" }
  var bucket: PBBytes?
  var key: PBBytes?
  var type: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &bucket)
    try visitor.required(2, &key)
    try visitor.optional(3, &type)
  }
}

struct RpbBucketKeyPreflistItem: PBMessage {
  static var name: StaticString { "RpbBucketKeyPreflistItem" }
  var partition: Int64?
  var node: PBBytes?
  var primary: Bool?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &partition)
    try visitor.required(2, &node)
    try visitor.required(3, &primary)
  }
}

struct RpbGetBucketKeyPreflistResp: PBMessage {
  static var name: StaticString { "RpbGetBucketKeyPreflistResp" }
  var preflist: [RpbBucketKeyPreflistItem] = []

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.repeated(1, &preflist)
  }
}
