import Messages
import Primitives
import Protocols
import Replication
import Storage

// The quarantine as JSON.

extension AdminDocuments {
  static func quarantine(_ outcome: AdminOutcome) -> (JSON, status: Int) {
    switch outcome {
    case .quarantine(let page):
      let entries = page.entries.map { entry in
        JSON.object([
          "type": .string(String(decoding: entry.key.type, as: UTF8.self)),
          "bucket": .string(String(decoding: entry.key.bucket, as: UTF8.self)),
          "key": .string(String(decoding: entry.key.key, as: UTF8.self)),
          "stamp": .string("\(entry.stamp)"),
        ])
      }
      return (
        .object(["entries": .array(entries), "next": .optional(page.next) { .string(hexadecimal($0)) }]), 200
      )
    case .quarantineRead(let version):
      return (.object(["stamp": .string("\(version.stamp)"), "bytes": .count(version.value.count)]), 200)
    case .quarantinePut(let stamp): return (.object(["stamp": .string("\(stamp)")]), 200)
    default: return (.object([:]), 200)
    }
  }
}
