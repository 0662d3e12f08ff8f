import Causality
import Messages
import Primitives

// An object's content as RpbContent, and back. Both doors store the same: user metadata `color` is the header
// `X-Riak-Meta-color`, a charset is a parameter of the content type, links have the one form of `ObjectLinks`. So what one
// door has stored the other one gives out.

extension RpbContent {
  private static let metaPrefix: [UInt8] = Array("X-Riak-Meta-".utf8)
  private static let indexPrefix: [UInt8] = Array("X-Riak-Index-".utf8)
  private static let encodingName: [UInt8] = Array("Content-Encoding".utf8)
  /// What HTTP says of content whose type nobody gave.
  private static let typeDefault: [UInt8] = Array("application/octet-stream".utf8)

  /// The content as it is stored.
  func payload() throws(PBRefusal) -> [UInt8] {
    let value = value ?? []
    guard deleted != true else { throw PBRefusal("content marked as deleted cannot be put: send RpbDelReq") }
    guard value.count <= PBLimits.valueBytesMax else {
      throw PBRefusal("the value is longer than \(PBLimits.valueBytesMax) bytes")
    }
    let type = storedType
    let metadata = try storedMetadata(typeBytes: type.count)
    var payload: [UInt8] = []
    payload.reserveCapacity(64 + type.count + value.count)
    ObjectContent.appendHeader(contentType: type, metadata: metadata, to: &payload)
    payload.append(contentsOf: value)
    return payload
  }

  private var storedType: PBBytes {
    var type = contentType ?? []
    if type.isEmpty { type = RpbContent.typeDefault[...] }
    guard let charset, !charset.isEmpty else { return type }
    return type + Array("; charset=".utf8) + charset
  }

  private func storedMetadata(
    typeBytes: Int
  ) throws(PBRefusal) -> [(name: ArraySlice<UInt8>, value: ArraySlice<UInt8>)] {
    var metadata: [(name: ArraySlice<UInt8>, value: ArraySlice<UInt8>)] = []
    guard userMetadata.count + indexes.count < PBLimits.metadataCountMax else {
      throw PBRefusal("more than \(PBLimits.metadataCountMax) entries of metadata")
    }
    if let contentEncoding { metadata.append((RpbContent.encodingName[...], contentEncoding)) }
    for pair in userMetadata { metadata.append((RpbContent.metaPrefix + (pair.key ?? []), pair.value ?? [])) }
    for pair in indexes { metadata.append((RpbContent.indexPrefix + (pair.key ?? []), pair.value ?? [])) }
    guard metadata.reduce(typeBytes, { $0 + $1.name.count + $1.value.count }) <= PBLimits.metadataBytesMax else {
      throw PBRefusal("metadata are longer than \(PBLimits.metadataBytesMax) bytes")
    }
    guard !links.isEmpty else { return metadata }
    var stored = ObjectLinks()
    for link in links {
      do throws(HTTPProblem) {
        try stored.add(bucket: Array(link.bucket ?? []), key: Array(link.key ?? []), tag: Array(link.tag ?? []))
      } catch {
        throw PBRefusal(error.text)
      }
    }
    return metadata + stored.values.map { (ObjectLinks.name[...], $0[...]) }
  }
}

extension RpbContent {
  /// What is stored as `payload` under `stamp`; nil when that is no content.
  /// - Parameter isHead: The value is not wanted.
  init?(_ payload: [UInt8], _ stamp: Stamp, isHead: Bool) {
    guard let content = ObjectContentView(payload: payload) else { return nil }
    self.init()
    value = isHead ? [] : payload[content.value]
    setType(payload, content.contentType)
    var tag: [UInt8] = []
    tag.reserveCapacity(2 * Stamp.byteCount)
    tag.appendTag(stamp)
    vtag = tag[...]
    let milliseconds = stamp.time.milliseconds
    lastModified = UInt32(truncatingIfNeeded: milliseconds / 1000)
    lastModifiedMicroseconds = UInt32(milliseconds % 1000 * 1000)
    content.forEachMetadata { add(payload, $0, $1) }
  }

  private mutating func setType(_ payload: [UInt8], _ type: Range<Int>) {
    let separator = payload[type].firstIndex(of: UInt8(ascii: ";")) ?? type.upperBound
    contentType = payload[type.lowerBound..<separator]
    let parameter = HTTPText.trimmed(payload, min(separator + 1, type.upperBound)..<type.upperBound)
    if HTTPText.hasPrefix(payload, parameter, "charset="), !payload[parameter].contains(UInt8(ascii: ";")) {
      charset = payload[parameter.lowerBound + 8..<parameter.upperBound]
    } else {
      contentType = payload[type]
    }
  }

  private mutating func add(_ payload: [UInt8], _ name: Range<Int>, _ value: Range<Int>) {
    func rest(behind prefix: [UInt8]) -> PBBytes { payload[name.lowerBound + prefix.count..<name.upperBound] }
    if HTTPText.hasPrefix(payload, name, "x-riak-meta-") {
      userMetadata.append(RpbPair(key: rest(behind: RpbContent.metaPrefix), value: payload[value]))
    } else if HTTPText.hasPrefix(payload, name, "x-riak-index-") {
      // A header holds all entries of an index.
      HTTPText.forEachElement(payload, value) {
        indexes.append(RpbPair(key: rest(behind: RpbContent.indexPrefix), value: payload[$0]))
      }
    } else if HTTPText.equals(payload, name, "Link") {
      guard let link = ObjectLinks.parts(payload[value]) else { return }
      links.append(RpbLink(bucket: link.bucket[...], key: link.key[...], tag: link.tag[...]))
    } else if HTTPText.matches(payload, name, "content-encoding") {
      contentEncoding = payload[value]
    }
  }
}
