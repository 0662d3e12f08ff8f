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

  /// The content as it is stored: nothing that HTTP would refuse.
  func payload() throws(PBRefusal) -> [UInt8] {
    let value = value ?? []
    guard deleted != true else { throw PBRefusal("content marked as deleted cannot be put: send RpbDelReq") }
    guard value.count <= PBLimits.valueBytesMax else {
      throw PBRefusal("the value is longer than \(PBLimits.valueBytesMax) bytes")
    }
    let type = storedType
    let metadata = try storedMetadata(typeBytes: type.count)
    guard HTTPText.isMediaType(Array(type), 0..<type.count) else { throw PBRefusal(HTTPProblem.noMediaType.text) }
    try checkNames()
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

  /// Throws for an index entry that no index could hold, and for user metadata that look like a lifetime: to keep for ever
  /// what was to go would be worse than to refuse.
  private func checkNames() throws(PBRefusal) {
    for pair in indexes {
      let name = Array(pair.key ?? [])
      let bytes = name + (pair.value ?? [])
      let problem = HTTPRequestHead.problem(ofIndex: bytes, 0..<name.count, name.count..<bytes.count)
      if let problem { throw PBRefusal(problem.text) }
    }
    for pair in userMetadata {
      let name = Array((pair.key ?? []).prefix(PBLimits.quotedBytesMax))
      if Lifetime.isNamed(by: name, 0..<name.count) {
        let text = String(decoding: name, as: UTF8.self)
        throw PBRefusal("\(text) cannot be user metadata: a lifetime is given over HTTP or by default_ttl")
      }
    }
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

  /// A charset is told apart from the type where it is the type's last parameter.
  private mutating func setType(_ payload: [UInt8], _ type: Range<Int>) {
    contentType = payload[type]
    var separator: Int?
    var rest = type
    while !rest.isEmpty {
      let next = HTTPText.first(UInt8(ascii: ";"), payload, in: rest)
      if next < type.upperBound { separator = next }
      rest = min(next + 1, type.upperBound)..<type.upperBound
    }
    guard let separator else { return }
    let parameter = HTTPText.trimmed(payload, separator + 1..<type.upperBound)
    let name: StaticString = "charset="
    guard parameter.count > name.utf8CodeUnitCount, HTTPText.hasPrefix(payload, parameter, name) else { return }
    contentType = payload[type.lowerBound..<separator]
    charset = payload[parameter.lowerBound + name.utf8CodeUnitCount..<parameter.upperBound]
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
