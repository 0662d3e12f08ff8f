import Client
import Protocols

// Objects as the records of a file. Whatever the bytes, an import of the file stores the same: JSON lines have base64
// where bytes are not UTF-8, CSV has quotes around what needs them.

struct ExportFormatter: Sendable {
  /// A value longer than this stands in base64 where that is shorter: an import must be able to hold its line.
  private static let textBytesMax = 1 << 20

  let format: BulkFormat

  /// What the file begins with.
  var header: [UInt8] { format == .csv ? Array("key,value,content_type\n".utf8) : [] }

  /// What an answer says of an object besides its value.
  struct Facts: Equatable {
    var contentType: [UInt8] = []
    var metadata: [(name: [UInt8], value: [UInt8])] = []
    /// When it expires, as the answer says it; nothing where it does not.
    var expiresAt: [UInt8] = []

    static func == (a: Facts, b: Facts) -> Bool {
      a.contentType == b.contentType && a.expiresAt == b.expiresAt
        && a.metadata.elementsEqual(b.metadata, by: { $0.name == $1.name && $0.value == $1.value })
    }

    init() {}

    init(_ completion: PumpCompletion, from pump: RequestPump) {
      var facts = Facts()
      pump.forEachHeader(of: completion) { bytes, name, value in
        if HTTPAnswer.isHeader(bytes, name, "content-type") {
          facts.contentType = Array(bytes[value])
        } else if HTTPAnswer.isHeader(bytes, name, "expires") {
          facts.expiresAt = Array(bytes[value])
        } else if Metadata.isHeader(bytes, name) {
          facts.metadata.append((Array(bytes[name]), Array(bytes[value])))
        }
      }
      self = facts
    }
  }

  /// Appends one record.
  /// - Throws: `RecordProblem` for what the format cannot say.
  func append(
    key: [UInt8], _ facts: Facts, value: ArraySlice<UInt8>, to out: inout [UInt8]
  ) throws(RecordProblem) {
    switch format {
    case .csv:
      out.appendCSVField(key[...])
      out.append(Delimiter.comma)
      out.appendCSVField(value)
      out.append(Delimiter.comma)
      out.appendCSVField(facts.contentType[...])
    case .jsonl:
      guard isUTF8(facts.contentType, 0..<facts.contentType.count) else {
        throw RecordProblem("its content type is not UTF-8")
      }
      out.append(UInt8(ascii: "{"))
      appendMember("key", key[...], to: &out)
      out.append(Delimiter.comma)
      appendMember("value", value, to: &out)
      out.append(contentsOf: ",\"content_type\":".utf8)
      out.appendJSONText(facts.contentType)
      appendMetadata(facts.metadata, to: &out)
      if !facts.expiresAt.isEmpty {
        out.append(contentsOf: ",\"expires_at\":".utf8)
        out.appendJSONText(facts.expiresAt)
      }
      out.append(UInt8(ascii: "}"))
    }
    out.append(0x0A)
  }

  /// `"name":"text"`, or `"name_base64":"…"`.
  private func appendMember(_ name: StaticString, _ bytes: ArraySlice<UInt8>, to out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    out.append(contentsOf: "\(name)".utf8)
    if isText(bytes) {
      out.append(contentsOf: "\":".utf8)
      out.appendJSONText(bytes)
    } else {
      out.append(contentsOf: "_base64\":\"".utf8)
      out.appendBase64(bytes)
      out.append(UInt8(ascii: "\""))
    }
  }

  private func isText(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard isUTF8(bytes) else { return false }
    return bytes.count <= ExportFormatter.textBytesMax || [UInt8].jsonTextBytes(bytes) <= (bytes.count + 2) / 3 * 4 + 2
  }

  private func appendMetadata(_ metadata: [(name: [UInt8], value: [UInt8])], to out: inout [UInt8]) {
    guard !metadata.isEmpty else { return }
    let texts = metadata.filter { isUTF8($0.value[...]) }
    let others = metadata.filter { !isUTF8($0.value[...]) }
    if !texts.isEmpty {
      out.append(contentsOf: ",\"metadata\":{".utf8)
      for (index, entry) in texts.enumerated() {
        if index > 0 { out.append(Delimiter.comma) }
        out.appendJSONText(entry.name)
        out.append(UInt8(ascii: ":"))
        out.appendJSONText(entry.value)
      }
      out.append(UInt8(ascii: "}"))
    }
    if !others.isEmpty {
      out.append(contentsOf: ",\"metadata_base64\":{".utf8)
      for (index, entry) in others.enumerated() {
        if index > 0 { out.append(Delimiter.comma) }
        out.appendJSONText(entry.name)
        out.append(contentsOf: ":\"".utf8)
        out.appendBase64(entry.value[...])
        out.append(UInt8(ascii: "\""))
      }
      out.append(UInt8(ascii: "}"))
    }
  }
}
