import Causality
import Messages
import Platform
import Primitives
import Protocols
import Replication

// The quarantine over HTTP: what is asked for, and what operators are shown, as JSON. Names of objects stand in it as
// `keyText` writes them, so that bytes which are no text can be named too.

/// Why a request for the quarantine means nothing, and what to say instead.
struct QuarantineProblem: Error {
  let text: String
}

extension AdminRequest {
  /// What a query asks for. GET shows a page, or one value; POST does something with one entry.
  static func quarantine(
    _ parameters: QuarantineParameters, isTask: Bool
  ) -> Result<AdminRequest, QuarantineProblem> {
    func problem(_ text: String) -> Result<AdminRequest, QuarantineProblem> { .failure(QuarantineProblem(text: text)) }
    guard isTask || parameters.bucket != nil || parameters.key != nil else {
      guard let text = parameters.from else { return .success(.quarantine(from: 0)) }
      guard let from = UInt64(text, radix: 16) else { return problem("from=\(text) is no `next` of a page") }
      return .success(.quarantine(from: from))
    }
    guard let bucket = parameters.bucket.flatMap(keyBytes), let name = parameters.key.flatMap(keyBytes),
      let type = keyBytes(parameters.type ?? ""), let key = ObjectKey(type: type, bucket: bucket, key: name)
    else { return problem("bucket=BUCKET and key=KEY must be given, as they are listed") }
    guard isTask else { return .success(.quarantineRead(key)) }
    guard let stamp = parameters.stamp.flatMap({ Stamp($0) }) else {
      return problem("stamp=STAMP must be given, as it is listed")
    }
    switch parameters.action {
    case "put": return .success(.quarantinePut(key, stamp))
    case "discard": return .success(.quarantineDiscard(key, stamp))
    default: return problem("do=put or do=discard must be given")
    }
  }
}

extension AdminDocuments {
  /// A page of the quarantine.
  static func quarantine(_ page: QuarantinePage) -> JSON {
    .object([
      "node": .string(page.node),
      "count": .count(page.status.count),
      "bytes": .count(page.status.bytes),
      "entries": .array(page.entries.map(entry)),
      "next": .optional(page.next) { .string(hexadecimal($0)) },
    ])
  }

  private static func entry(_ entry: QuarantineEntry) -> JSON {
    .object([
      "type": .string(keyText(entry.key.type)),
      "bucket": .string(keyText(entry.key.bucket)),
      "key": .string(keyText(entry.key.key)),
      "stamp": .string("\(entry.stamp)"),
      "written": .string(timestamp(wallMilliseconds: entry.stamp.time.milliseconds)),
    ])
  }

  /// One value; bytes that are no text as `keyText` writes them.
  static func quarantined(stamp: Stamp, payload: [UInt8]) -> JSON {
    guard let content = ObjectContentView(payload: payload) else {
      return .object(["stamp": .string("\(stamp)"), "bytes": .count(payload.count), "value": .null])
    }
    let value = Array(payload[content.value])
    return .object([
      "stamp": .string("\(stamp)"),
      "written": .string(timestamp(wallMilliseconds: stamp.time.milliseconds)),
      "content_type": .string(keyText(Array(payload[content.contentType]))),
      "bytes": .count(value.count),
      "value": .string(keyText(value)),
    ])
  }
}
