import Causality
import Messages
import Primitives

@testable import Protocols

// Driving a session of the binary protocol in tests: messages in, actions and frames out.

let pbNode = PBConfiguration(node: "n1", serverVersion: "2.2.3", replicas: 3, keySeeds: (1, 2))

/// A frame with any code.
func pbFrame(_ code: UInt8, _ message: [UInt8] = []) -> [UInt8] {
  let length = UInt32(message.count + 1)
  return (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) } + [code] + message
}

func pbFrame(_ code: PBCode, _ message: some PBMessage) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.appendFrame(code, message)
  return bytes
}

/// The frames in `bytes`, which must be whole.
func pbFrames(_ bytes: [UInt8]) -> [(code: UInt8, message: [UInt8])] {
  var frames: [(code: UInt8, message: [UInt8])] = []
  var rest = bytes[...]
  while !rest.isEmpty {
    let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
    let start = rest.startIndex + 4
    frames.append((rest[start], Array(rest[start + 1..<start + length])))
    rest = rest[(start + length)...]
  }
  return frames
}

/// The text of an error frame; nil when `bytes` are something else.
func pbError(_ bytes: [UInt8]) -> String? {
  guard let frame = pbFrames(bytes).first, frame.code == 0,
    let error = try? RpbErrorResp(frame.message, 0..<frame.message.count), error.code == 0
  else { return nil }
  return String(decoding: error.message ?? [], as: UTF8.self)
}

/// What the one frame in `bytes` says, when it has this code.
func pbAnswer<Message: PBMessage>(_ code: PBCode, _: Message.Type, _ bytes: [UInt8]) -> Message? {
  let frames = pbFrames(bytes)
  guard frames.count == 1, frames[0].code == code.rawValue else { return nil }
  return try? Message(frames[0].message, 0..<frames[0].message.count)
}

extension PBSession {
  mutating func receive(_ bytes: some Collection<UInt8>) {
    unsafe Array(bytes).withUnsafeBytes { unsafe receive($0) }
  }

  mutating func actions() -> [PBAction] {
    var all: [PBAction] = []
    while true {
      let action = next()
      if case .needMore = action { return all }
      all.append(action)
    }
  }
}

/// The only action of a frame.
func pbAction(_ frame: [UInt8], _ configuration: PBConfiguration = pbNode) -> PBAction {
  var session = PBSession(configuration: configuration)
  session.receive(frame)
  return session.next()
}

func pbAction(_ code: PBCode, _ message: some PBMessage) -> PBAction { pbAction(pbFrame(code, message)) }

extension PBAction {
  var request: ClientRequest? { if case .request(let request, _) = self { request } else { nil } }
  var list: ListRequest? { if case .list(let request, _) = self { request } else { nil } }
  /// An answer that did not need the node.
  var answer: [UInt8] { if case .reply(let bytes, _) = self { bytes } else { [] } }
  var error: String? { answer.isEmpty ? nil : pbError(answer) }

  /// What the client is told when the node says `response`.
  func answer(_ response: ClientResponse) -> [UInt8] {
    guard case .request(_, let reply) = self else { return [] }
    var bytes: [UInt8] = []
    reply.encode(response, into: &bytes)
    return bytes
  }

  /// What the client is told of a listing that has these parts.
  func answer(_ parts: [ListingPart]) -> [UInt8] {
    guard case .list(_, var reply) = self else { return [] }
    var bytes: [UInt8] = []
    for part in parts { _ = reply.encode(part, into: &bytes) }
    return bytes
  }
}

func pbBytes(_ text: String) -> PBBytes { [UInt8](text.utf8)[...] }
func pbText(_ bytes: PBBytes?) -> String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
