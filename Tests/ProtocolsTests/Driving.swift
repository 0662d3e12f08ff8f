import Causality
import Messages
import Primitives
import Protocols

// Driving a session in tests: bytes in any pieces, actions as comparable values.

/// An action with its reply reduced to what can be seen of it: the answer to a fixed response.
enum Seen: Equatable, CustomStringConvertible {
  case request(ClientRequest, closes: Bool, answer: String)
  case admin(AdminRoute, closes: Bool)
  case snapshot(name: String?, store: String?)
  case quarantine(String, [String?])
  case backup(AdminRoute, [String?])
  case send(String)
  case reply(String, close: Bool)

  var description: String {
    switch self {
    case .request(let request, let closes, _): "request \(request) closes \(closes)"
    case .admin(let route, let closes): "admin \(route) closes \(closes)"
    case .snapshot(let name, let store): "snapshot \(name ?? "-") \(store ?? "-")"
    case .quarantine(let method, let words): "quarantine \(method) \(words.map { $0 ?? "-" })"
    case .backup(let route, let words): "backup \(route) \(words.map { $0 ?? "-" })"
    case .send(let text): "send \(text)"
    case .reply(let text, let close): "reply \(text) close \(close)"
    }
  }

  /// First line of a reply; empty for anything else.
  var status: String {
    if case .reply(let text, _) = self { String(text.prefix { $0 != "\r\n" }) } else { "" }
  }
}

let sampleStamp = Stamp(time: HybridTime(milliseconds: 784_111_777_123, counter: 5), actor: ActorID(0xAB))

extension HTTPReply {
  func text(_ response: ClientResponse) -> String {
    var bytes: [UInt8] = []
    encode(response, into: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension HTTPSession {
  mutating func receive(_ bytes: ArraySlice<UInt8>) {
    unsafe bytes.withUnsafeBytes { unsafe receive($0) }
  }

  mutating func actions() -> [HTTPAction] {
    var all: [HTTPAction] = []
    while true {
      let action = next()
      if case .needMore = action { return all }
      all.append(action)
    }
  }

  mutating func seen() -> [Seen] {
    actions().map { action in
      switch action {
      case .needMore, .list: fatalError("not collected")
      case .request(let request, let reply):
        .request(request, closes: reply.closesConnection, answer: reply.text(.stored(stamp: sampleStamp)))
      case .admin(let route, let reply): .admin(route, closes: reply.closesConnection)
      case .snapshot(let parameters, _): .snapshot(name: parameters.name, store: parameters.store)
      case .quarantine(let parameters, let isTask, _):
        .quarantine(isTask ? "POST" : "GET", [parameters.from, parameters.action, parameters.bucket, parameters.key])
      case .backup(let route, let asked, _):
        .backup(route, [asked.name, asked.path, asked.offset, asked.count, asked.seconds])
      case .send(let bytes): .send(String(decoding: bytes, as: UTF8.self))
      case .reply(let bytes, let close): .reply(String(decoding: bytes, as: UTF8.self), close: close)
      }
    }
  }
}

func seen(_ bytes: [UInt8]) -> [Seen] {
  var session = HTTPSession()
  session.receive(bytes[...])
  return session.seen()
}

func seen(_ text: String) -> [Seen] { seen(Array(text.utf8)) }

/// The only action of `text` when that is a request for the node.
func request(_ text: String) -> ClientRequest? {
  if case .request(let request, _, _)? = seen(text).first { request } else { nil }
}

/// `GET target` and its reply.
func get(_ target: String) -> [Seen] { seen("GET \(target) HTTP/1.1\r\nHost: h\r\n\r\n") }

func objectKey(_ bucket: String, _ key: String) -> ObjectKey {
  guard let key = ObjectKey(bucket: Array(bucket.utf8), key: Array(key.utf8)) else { fatalError("not a key") }
  return key
}

func payload(_ contentType: String, _ value: String, _ metadata: [(String, String)] = []) -> [UInt8] {
  ObjectContent(
    contentType: Array(contentType.utf8), metadata: metadata.map { (Array($0.0.utf8), Array($0.1.utf8)) },
    value: Array(value.utf8)
  ).encoded()
}
