import Causality
package import Messages

// One client connection of Riak's binary protocol, without its socket: bytes in, actions out. A frame is looked at when it
// is here completely, and gives exactly one action; the next one is for when its answer has been given. A message that
// cannot be understood is answered with an error and the connection goes on, because the frame says where the next one
// begins; a frame that is too long ends it.

/// What the driver of a connection is to do next.
package enum PBAction: Sendable {
  /// Nothing until more bytes come.
  case needMore
  /// For the node; its response goes through the reply, which may ask for one more request before it is encoded.
  case request(ClientRequest, PBReply)
  /// For the node; the parts of the listing go through the reply's `encode`, until that says that it is over.
  case list(ListRequest, PBReply)
  /// For the server, which knows who is up: `PBAnswers.preflist`.
  case preflist(ObjectKey)
  /// A complete answer.
  case reply([UInt8], close: Bool)
}

/// What a session must be told of the node that it speaks for.
package struct PBConfiguration: Sendable {
  package var node: String
  package var serverVersion: String
  /// n_val, as properties show it.
  package var replicas: Int
  /// As those of `HTTPConfiguration`: no two connections of a cluster may have the same pair.
  package var keySeeds: (UInt64, UInt64)?

  package init(node: String, serverVersion: String, replicas: Int, keySeeds: (UInt64, UInt64)? = nil) {
    self.node = node
    self.serverVersion = serverVersion
    self.replicas = replicas
    self.keySeeds = keySeeds
  }
}

/// What one connection has sent, taken apart. Nothing copies it: each read and each frame would.
package struct PBSession: ~Copyable, Sendable {
  /// What Riak takes for the client's name until it has one.
  private static let clientIDDefault: [UInt8] = [0, 0, 0, 0]

  private var input = InputBuffer()
  let configuration: PBConfiguration
  private var keys: KeyGenerator?
  private var clientID = PBSession.clientIDDefault
  /// Nothing more will be read: the connection ends with the answers that are due.
  package private(set) var isClosed = false

  package init(configuration: PBConfiguration) {
    self.configuration = configuration
    keys = configuration.keySeeds.map { KeyGenerator(seeds: $0) }
  }

  /// Bytes held.
  package var bufferedBytes: Int { input.count }

  /// Takes what the connection brought. `next` must be called until it says `needMore`, now or later.
  package mutating func receive(_ bytes: UnsafeRawBufferPointer) {
    guard !isClosed else { return }
    unsafe input.append(bytes)
  }

  /// The next thing to do.
  package mutating func next() -> PBAction {
    guard input.unparsed >= PBLimits.lengthBytes else { return .needMore }
    let start = input.position
    let length = input.bytes[start..<start + PBLimits.lengthBytes].reduce(0) { $0 << 8 | Int($1) }
    guard length <= PBLimits.frameBytesMax else {
      isClosed = true
      input.removeAll()
      return refusal("a frame of \(length) bytes is longer than \(PBLimits.frameBytesMax)", close: true)
    }
    guard input.unparsed >= PBLimits.lengthBytes + length else { return .needMore }
    defer { input.drop(PBLimits.lengthBytes + length) }
    guard length > 0 else { return refusal("a frame of 0 bytes has no message code") }
    let code = start + PBLimits.lengthBytes
    do throws(PBRefusal) {
      return try action(input.bytes[code], input.bytes, code + 1..<code + length)
    } catch {
      return refusal(error.text)
    }
  }

  private func refusal(_ text: String, close: Bool = false) -> PBAction {
    var bytes: [UInt8] = []
    bytes.appendErrorFrame(text)
    return .reply(bytes, close: close)
  }

  private func answer(_ code: PBCode) -> PBAction {
    var bytes: [UInt8] = []
    bytes.appendFrame(code)
    return .reply(bytes, close: false)
  }

  private func answer(_ code: PBCode, _ message: some PBMessage) -> PBAction {
    var bytes: [UInt8] = []
    bytes.appendFrame(code, message)
    return .reply(bytes, close: false)
  }

  /// What a frame with this code asks for whose message stands in `bytes[range]`.
  private mutating func action(
    _ code: UInt8, _ bytes: [UInt8], _ range: Range<Int>
  ) throws(PBRefusal) -> PBAction {
    func message<Message: PBMessage>(_: Message.Type) throws(PBRefusal) -> Message {
      do throws(PBProblem) { return try Message(bytes, range) } catch { throw PBRefusal(error) }
    }
    switch PBCode(rawValue: code) {
    case .pingRequest: return answer(.pingResponse)
    case .getClientIDRequest: return answer(.getClientIDResponse, RpbClientID(clientID: clientID[...]))
    case .setClientIDRequest: return try setClientID(message(RpbClientID.self))
    case .serverInfoRequest:
      let info = RpbGetServerInfoResp(
        node: [UInt8](configuration.node.utf8)[...], serverVersion: [UInt8](configuration.serverVersion.utf8)[...])
      return answer(.serverInfoResponse, info)
    case .getRequest: return try get(message(RpbGetReq.self))
    case .putRequest: return try put(message(RpbPutReq.self))
    case .deleteRequest: return try delete(message(RpbDelReq.self))
    case .listBucketsRequest: return try listBuckets(message(RpbListBucketsReq.self))
    case .listKeysRequest: return try listKeys(message(RpbListKeysReq.self))
    case .getBucketRequest:
      let request = try message(RpbBucketReq.self)
      try PBSession.check(bucket: request.bucket, type: request.type)
      let properties = RpbBucketProps(replicas: configuration.replicas)
      return answer(.getBucketResponse, RpbGetBucketResp(properties: properties))
    case .setBucketRequest:
      let request = try message(RpbSetBucketReq.self)
      try PBSession.check(bucket: request.bucket, type: request.type)
      try RpbBucketProps(replicas: configuration.replicas).check(wanted: request.properties ?? RpbBucketProps())
      return answer(.setBucketResponse)
    case .resetBucketRequest:
      let request = try message(RpbBucketReq.self)
      try PBSession.check(bucket: request.bucket, type: request.type)
      return answer(.resetBucketResponse)
    case .preflistRequest:
      let request = try message(RpbGetBucketKeyPreflistReq.self)
      return .preflist(try PBSession.key(bucket: request.bucket, key: request.key, type: request.type))
    case .error, .pingResponse, .getClientIDResponse, .setClientIDResponse, .serverInfoResponse, .getResponse,
      .putResponse, .deleteResponse, .listBucketsResponse, .listKeysResponse, .getBucketResponse, .setBucketResponse,
      .resetBucketResponse, .preflistResponse, nil:
      throw .unknown(code: code)
    }
  }

  private mutating func setClientID(_ request: RpbClientID) throws(PBRefusal) -> PBAction {
    let name = request.clientID ?? []
    guard name.count <= PBLimits.clientIDBytesMax else {
      throw PBRefusal("the client id is longer than \(PBLimits.clientIDBytesMax) bytes")
    }
    clientID = Array(name)
    return answer(.setClientIDResponse)
  }

  /// A key made here, where the client named none.
  mutating func makeKey() throws(PBRefusal) -> [UInt8] {
    guard let key = keys?.next() else { throw .noKeysMade }
    return key
  }
}
