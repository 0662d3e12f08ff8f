// The messages about objects, as Riak numbers their fields.

struct RpbPair: PBMessage {
  static var name: StaticString { "RpbPair" }
  var key: PBBytes?
  var value: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &key)
    try visitor.optional(2, &value)
  }
}

struct RpbLink: PBMessage {
  static var name: StaticString { "RpbLink" }
  var bucket: PBBytes?
  var key: PBBytes?
  var tag: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.optional(1, &bucket)
    try visitor.optional(2, &key)
    try visitor.optional(3, &tag)
  }
}

struct RpbContent: PBMessage {
  static var name: StaticString { "RpbContent" }
  var value: PBBytes?
  var contentType: PBBytes?
  var charset: PBBytes?
  var contentEncoding: PBBytes?
  var vtag: PBBytes?
  var links: [RpbLink] = []
  /// Seconds since 1970, and microseconds of that second.
  var lastModified: UInt32?
  var lastModifiedMicroseconds: UInt32?
  var userMetadata: [RpbPair] = []
  var indexes: [RpbPair] = []
  var deleted: Bool?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &value)
    try visitor.optional(2, &contentType)
    try visitor.optional(3, &charset)
    try visitor.optional(4, &contentEncoding)
    try visitor.optional(5, &vtag)
    try visitor.repeated(6, &links)
    try visitor.optional(7, &lastModified)
    try visitor.optional(8, &lastModifiedMicroseconds)
    try visitor.repeated(9, &userMetadata)
    try visitor.repeated(10, &indexes)
    try visitor.optional(11, &deleted)
  }
}

struct RpbGetReq: PBMessage {
  static var name: StaticString { "RpbGetReq" }
  var bucket: PBBytes?
  var key: PBBytes?
  var r: UInt32?
  var pr: UInt32?
  var basicQuorum: Bool?
  var notFoundOK: Bool?
  var ifModified: PBBytes?
  var head: Bool?
  var deletedClock: Bool?
  var timeout: UInt32?
  var sloppyQuorum: Bool?
  var replicas: UInt32?
  var type: PBBytes?
  var nodeConfirms: UInt32?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &bucket)
    try visitor.required(2, &key)
    try visitor.optional(3, &r)
    try visitor.optional(4, &pr)
    try visitor.optional(5, &basicQuorum)
    try visitor.optional(6, &notFoundOK)
    try visitor.optional(7, &ifModified)
    try visitor.optional(8, &head)
    try visitor.optional(9, &deletedClock)
    try visitor.optional(10, &timeout)
    try visitor.optional(11, &sloppyQuorum)
    try visitor.optional(12, &replicas)
    try visitor.optional(13, &type)
    try visitor.optional(14, &nodeConfirms)
  }
}

struct RpbGetResp: PBMessage {
  static var name: StaticString { "RpbGetResp" }
  var content: [RpbContent] = []
  var vclock: PBBytes?
  var unchanged: Bool?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.repeated(1, &content)
    try visitor.optional(2, &vclock)
    try visitor.optional(3, &unchanged)
  }
}

struct RpbPutReq: PBMessage {
  static var name: StaticString { "RpbPutReq" }
  var bucket: PBBytes?
  var key: PBBytes?
  var vclock: PBBytes?
  var content: RpbContent?
  var w: UInt32?
  var dw: UInt32?
  var returnBody: Bool?
  var pw: UInt32?
  var ifNotModified: Bool?
  var ifNoneMatch: Bool?
  var returnHead: Bool?
  var timeout: UInt32?
  var asis: Bool?
  var sloppyQuorum: Bool?
  var replicas: UInt32?
  var type: PBBytes?
  var nodeConfirms: UInt32?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &bucket)
    try visitor.optional(2, &key)
    try visitor.optional(3, &vclock)
    try visitor.required(4, &content)
    try visitor.optional(5, &w)
    try visitor.optional(6, &dw)
    try visitor.optional(7, &returnBody)
    try visitor.optional(8, &pw)
    try visitor.optional(9, &ifNotModified)
    try visitor.optional(10, &ifNoneMatch)
    try visitor.optional(11, &returnHead)
    try visitor.optional(12, &timeout)
    try visitor.optional(13, &asis)
    try visitor.optional(14, &sloppyQuorum)
    try visitor.optional(15, &replicas)
    try visitor.optional(16, &type)
    try visitor.optional(17, &nodeConfirms)
  }
}

struct RpbPutResp: PBMessage {
  static var name: StaticString { "RpbPutResp" }
  var content: [RpbContent] = []
  var vclock: PBBytes?
  /// Where the key was made here.
  var key: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.repeated(1, &content)
    try visitor.optional(2, &vclock)
    try visitor.optional(3, &key)
  }
}

struct RpbDelReq: PBMessage {
  static var name: StaticString { "RpbDelReq" }
  var bucket: PBBytes?
  var key: PBBytes?
  var rw: UInt32?
  var vclock: PBBytes?
  var r: UInt32?
  var w: UInt32?
  var pr: UInt32?
  var pw: UInt32?
  var dw: UInt32?
  var timeout: UInt32?
  var sloppyQuorum: Bool?
  var replicas: UInt32?
  var type: PBBytes?

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.required(1, &bucket)
    try visitor.required(2, &key)
    try visitor.optional(3, &rw)
    try visitor.optional(4, &vclock)
    try visitor.optional(5, &r)
    try visitor.optional(6, &w)
    try visitor.optional(7, &pr)
    try visitor.optional(8, &pw)
    try visitor.optional(9, &dw)
    try visitor.optional(10, &timeout)
    try visitor.optional(11, &sloppyQuorum)
    try visitor.optional(12, &replicas)
    try visitor.optional(13, &type)
  }
}
