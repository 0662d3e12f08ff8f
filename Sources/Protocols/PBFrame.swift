// Frames of Riak's binary protocol: `length u32, big-endian | code u8 | message`, where the length counts the code and the
// message. What the codes mean, and the bounds of a connection's bytes.

enum PBLimits {
  /// What says how long a frame is.
  static let lengthBytes = 4
  /// Of a frame's length: a value as long as HTTP takes it, and its names and metadata. More ends the connection.
  static let frameBytesMax = HTTPLimits.bodyBytesMax + (1 << 20)
  static let valueBytesMax = HTTPLimits.bodyBytesMax
  /// Content type, charset, encoding, user metadata and index entries of an object, as they are stored.
  static let metadataBytesMax = 65_535
  static let metadataCountMax = HTTPLimits.headerCountMax
  /// What a connection remembers of its client's name.
  static let clientIDBytesMax = 256
  /// Names of buckets in one answer; more must be asked for in parts, with `stream`.
  static let bucketNamesBytesMax = 16 << 20
  /// Of a name that an error repeats.
  static let quotedBytesMax = 255
}

/// The codes that are answered here with something else than an error.
enum PBCode: UInt8 {
  case error = 0
  case pingRequest = 1
  case pingResponse = 2
  case getClientIDRequest = 3
  case getClientIDResponse = 4
  case setClientIDRequest = 5
  case setClientIDResponse = 6
  case serverInfoRequest = 7
  case serverInfoResponse = 8
  case getRequest = 9
  case getResponse = 10
  case putRequest = 11
  case putResponse = 12
  case deleteRequest = 13
  case deleteResponse = 14
  case listBucketsRequest = 15
  case listBucketsResponse = 16
  case listKeysRequest = 17
  case listKeysResponse = 18
  case getBucketRequest = 19
  case getBucketResponse = 20
  case setBucketRequest = 21
  case setBucketResponse = 22
  case resetBucketRequest = 29
  case resetBucketResponse = 30
  case preflistRequest = 33
  case preflistResponse = 34

  /// Requests of Riak's that do not exist here, by their names.
  static func absent(_ code: UInt8) -> StaticString? {
    switch code {
    case 23: "RpbMapRedReq"
    case 25: "RpbIndexReq"
    case 27: "RpbSearchQueryReq"
    case 31: "RpbGetBucketTypeReq"
    case 32: "RpbSetBucketTypeReq"
    case 40: "RpbCSBucketReq"
    case 50: "RpbCounterUpdateReq"
    case 52: "RpbCounterGetReq"
    case 54: "RpbYokozunaIndexGetReq"
    case 56: "RpbYokozunaIndexPutReq"
    case 57: "RpbYokozunaIndexDeleteReq"
    case 58: "RpbYokozunaSchemaGetReq"
    case 60: "RpbYokozunaSchemaPutReq"
    case 70: "RpbCoverageReq"
    case 80: "DtFetchReq"
    case 82: "DtUpdateReq"
    case 210: "RpbAaeFoldMergeRootNValReq"
    case 219: "RpbAaeFoldRepairKeysReq"
    case 223: "RpbAaeFoldListBucketsReq"
    case 230: "RpbAaeFoldReapTombsReq"
    case 231: "RpbAaeFoldEraseKeysReq"
    case 253: "RpbAuthReq"
    default: nil
    }
  }
}

extension [UInt8] {
  /// Appends a frame that holds what `content` appends.
  mutating func appendFrame(_ code: PBCode, _ content: (inout [UInt8]) -> Void) {
    let start = count
    append(contentsOf: [0, 0, 0, 0, code.rawValue])
    content(&self)
    let length = UInt32(count - start - 4)
    for index in 0..<4 { self[start + index] = UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32(index))) }
  }

  mutating func appendFrame(_ code: PBCode, _ message: some PBMessage) {
    appendFrame(code) { message.appendFields(to: &$0) }
  }

  /// Appends a frame without a message.
  mutating func appendFrame(_ code: PBCode) { appendFrame(code) { _ in } }

  /// Appends Riak's form of an error; its code is always 0, clients go by the text.
  mutating func appendErrorFrame(_ text: String) {
    appendFrame(.error, RpbErrorResp(message: [UInt8](text.utf8)[...], code: 0))
  }
}
