import Protocols

// A line of JSON as an object. The key is a string or a number, as it is written. The value is what an export wrote
// (`value` or `value_base64`, with `content_type`, `metadata` and `expires_at`), one field, or the whole line.

struct JSONLineReader {
  private let rules: RecordRules
  private let keyName: [UInt8]
  private var line = JSONMembers()

  init(_ rules: RecordRules) {
    self.rules = rules
    keyName = Array((rules.key ?? RecordRules.keyDefault).utf8)
  }

  /// Reads the line at `range` into `object`, which is empty.
  mutating func read(_ bytes: [UInt8], _ range: Range<Int>, into object: inout BulkObject) throws(RecordProblem) {
    do throws(JSONError) {
      try line.parse(bytes, range)
    } catch {
      throw RecordProblem("\(error)")
    }
    try readKey(bytes, into: &object)
    switch rules.value {
    case .whole: try takeWhole(bytes, range, into: &object)
    case .field(let name):
      guard let member = try member(Array(name.utf8), bytes) else { throw RecordProblem("there is no field '\(name)'") }
      try takeValue(member, bytes, into: &object)
    case .automatic:
      let text = try member(BulkField.value, bytes)
      let base64 = try member(BulkField.valueBase64, bytes)
      switch (text, base64) {
      case (nil, nil): try takeWhole(bytes, range, into: &object)
      case (let text?, nil): try takeExported(text, isBase64: false, bytes, into: &object)
      case (nil, let base64?): try takeExported(base64, isBase64: true, bytes, into: &object)
      case (.some, .some): throw RecordProblem("it has both 'value' and 'value_base64'")
      }
    }
  }

  private func member(_ name: [UInt8], _ bytes: [UInt8]) throws(RecordProblem) -> JSONMembers.Member? {
    do throws(JSONError) {
      return try line.member(name, in: bytes)
    } catch {
      throw RecordProblem("it has \(error.problem)")
    }
  }

  // MARK: Key

  private func readKey(_ bytes: [UInt8], into object: inout BulkObject) throws(RecordProblem) {
    let member = try member(keyName, bytes)
    let base64 = rules.key == nil ? try self.member(BulkField.keyBase64, bytes) : nil
    if let base64 {
      guard member == nil else { throw RecordProblem("it has both 'key' and 'key_base64'") }
      guard base64.kind == .string, object.key.appendDecodedBase64(bytes, base64.value) else {
        throw RecordProblem("'key_base64' is no base64")
      }
    } else {
      let name = String(decoding: keyName, as: UTF8.self)
      guard let member else { throw RecordProblem("there is no field '\(name)', which would be the key") }
      switch member.kind {
      case .string: object.key.appendJSONStringContent(bytes, member.value)
      case .number: object.key.append(contentsOf: bytes[member.value])
      case .object, .array, .word: throw RecordProblem("the key '\(name)' is neither a string nor a number")
      }
    }
    if object.key.isEmpty { throw RecordProblem("the key is empty") }
  }

  // MARK: Value

  private func takeWhole(_ bytes: [UInt8], _ range: Range<Int>, into object: inout BulkObject) throws(RecordProblem) {
    var start = range.lowerBound
    var end = range.upperBound
    while start < end, isSpace(bytes[start]) { start += 1 }
    while start < end, isSpace(bytes[end - 1]) { end -= 1 }
    object.value.append(contentsOf: bytes[start..<end])
    try appendContentType(ContentType.json, to: &object)
  }

  private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D || byte == 0x0A }

  /// A string's text, or any other value as it is written.
  private func takeValue(
    _ member: JSONMembers.Member, _ bytes: [UInt8], into object: inout BulkObject
  ) throws(RecordProblem) {
    if member.kind == .string {
      object.value.appendJSONStringContent(bytes, member.value)
      try appendContentType(ContentType.text, to: &object)
    } else {
      object.value.append(contentsOf: bytes[member.value])
      try appendContentType(ContentType.json, to: &object)
    }
  }

  private func takeExported(
    _ member: JSONMembers.Member, isBase64: Bool, _ bytes: [UInt8], into object: inout BulkObject
  ) throws(RecordProblem) {
    let stated = try statedContentType(bytes)
    if isBase64 {
      guard member.kind == .string, object.value.appendDecodedBase64(bytes, member.value) else {
        throw RecordProblem("'value_base64' is no base64")
      }
    } else if member.kind == .string {
      object.value.appendJSONStringContent(bytes, member.value)
    } else {
      object.value.append(contentsOf: bytes[member.value])
    }
    let usual =
      isBase64 ? ContentType.bytes : member.kind == .string ? ContentType.text : ContentType.json
    try appendContentType(stated ?? usual, to: &object)
    try takeMetadata(bytes, into: &object)
    try takeExpiry(bytes, into: &object)
  }

  private func statedContentType(_ bytes: [UInt8]) throws(RecordProblem) -> [UInt8]? {
    guard let member = try member(BulkField.contentType, bytes) else { return nil }
    guard member.kind == .string else { throw RecordProblem("'content_type' is no string") }
    var type: [UInt8] = []
    type.appendJSONStringContent(bytes, member.value)
    return type
  }

  private func appendContentType(_ type: [UInt8], to object: inout BulkObject) throws(RecordProblem) {
    if let chosen = rules.contentType {
      try object.appendContentType(chosen.utf8)
    } else {
      try object.appendContentType(type)
    }
  }

  /// Whether it is a date the node says.
  private func takeExpiry(_ bytes: [UInt8], into object: inout BulkObject) throws(RecordProblem) {
    guard let member = try member(BulkField.expiresAt, bytes) else { return }
    guard member.kind == .string else { throw RecordProblem("'expires_at' is no string") }
    var date: [UInt8] = []
    date.appendJSONStringContent(bytes, member.value)
    try object.appendHeader(Array("X-Cairn-Expires-At".utf8)[...], date[...])
  }

  // MARK: Metadata

  private func takeMetadata(_ bytes: [UInt8], into object: inout BulkObject) throws(RecordProblem) {
    for (name, isBase64) in [(BulkField.metadata, false), (BulkField.metadataBase64, true)] {
      guard let member = try member(name, bytes) else { continue }
      let label = String(decoding: name, as: UTF8.self)
      guard member.kind == .object else { throw RecordProblem("'\(label)' is no object") }
      for entry in JSONMembers.members(of: member.value, in: bytes) {
        guard entry.kind == .string else { throw RecordProblem("'\(label)' holds something that is no string") }
        var value: [UInt8] = []
        if !isBase64 {
          value.appendJSONStringContent(bytes, entry.value)
        } else if !value.appendDecodedBase64(bytes, entry.value) {
          throw RecordProblem("'\(label)' holds something that is no base64")
        }
        var header: [UInt8] = []
        header.appendJSONStringContent(bytes, entry.name)
        try object.appendHeader(Metadata.header(header), value[...])
      }
    }
    guard object.headers.count <= Metadata.bytesMax else {
      throw RecordProblem("content type and metadata have more than \(Metadata.bytesMax) bytes")
    }
  }
}

/// Metadata as headers.
enum Metadata {
  /// All of an object's, with its content type; a node takes 64 KiB of headers.
  static let bytesMax = 60 << 10
  private static let prefix = Array("X-Riak-Meta-".utf8)

  /// The header of an entry: its name, with Riak's prefix in front where that is missing.
  static func header(_ name: [UInt8]) throws(RecordProblem) -> ArraySlice<UInt8> {
    guard !name.isEmpty, name.allSatisfy(HTTPText.isToken) else {
      throw RecordProblem("'\(String(decoding: name, as: UTF8.self))' cannot be the name of metadata")
    }
    return isHeader(name, 0..<name.count) ? name[...] : (prefix + name)[...]
  }

  /// Whether a header is metadata, to be stored with an object.
  static func isHeader(_ bytes: [UInt8], _ name: Range<Int>) -> Bool {
    HTTPAnswer.isHeader(bytes, name, "content-encoding")
      || (name.count > prefix.count
        && HTTPAnswer.isHeader(bytes, name.lowerBound..<name.lowerBound + prefix.count, "x-riak-meta-"))
  }
}
