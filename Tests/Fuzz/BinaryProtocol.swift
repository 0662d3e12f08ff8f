import Messages
import Primitives

@testable import Protocols

// What libFuzzer calls with one input after the other (`.ci/fuzz`): a connection of Riak's binary protocol as a server
// reads it, and an answer as a client does. Whatever comes, neither may trap; a server holds no more than has come, and
// sees the same when the bytes come in other pieces.

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzBinaryProtocol(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let data, count > 1 else { return 0 }
  let input = Array(UnsafeBufferPointer(start: data, count: count))
  let bytes = Array(input[1...])
  let pieceBytes = Int(input[0] >> 1)
  if input[0] & 1 == 0 {
    serve(bytes, pieceBytes: pieceBytes)
  } else {
    _ = try? PBAnswer.find(in: bytes, from: 0, valueBytesMax: 1 << 16)
  }
  return 0
}

private func serve(_ bytes: [UInt8], pieceBytes: Int) {
  let whole = told(bytes, pieceBytes: max(1, bytes.count))
  guard pieceBytes > 0 else { return }
  let inPieces = told(bytes, pieceBytes: pieceBytes)
  // An optimized precondition keeps its text for itself.
  if inPieces != whole { fatalError("in pieces of \(pieceBytes): \(inPieces), whole: \(whole)") }
}

/// What a session makes of these bytes, with an answer to each request.
private func told(_ bytes: [UInt8], pieceBytes: Int) -> [String] {
  let configuration = PBConfiguration(node: "n1", serverVersion: "2.2.3", replicas: 3, keySeeds: (1, 2))
  var session = PBSession(configuration: configuration)
  var told: [String] = []
  var start = 0
  while start < bytes.count {
    let end = min(bytes.count, start + pieceBytes)
    bytes[start..<end].withUnsafeBytes { session.receive($0) }
    start = end
    var needsMore = false
    while !needsMore {
      let action = session.next()
      if case .needMore = action { needsMore = true } else { told.append(text(action)) }
    }
    if session.bufferedBytes > end { fatalError("\(session.bufferedBytes) bytes are held, \(end) came") }
  }
  return told
}

private func text(_ action: PBAction) -> String {
  switch action {
  case .request(let request, let reply):
    var answer: [UInt8] = []
    reply.encode(.notFound(tombstone: nil), into: &answer)
    return "\(request) \(answer)"
  case .list(let request, var reply):
    var answer: [UInt8] = []
    _ = reply.encode(.end, into: &answer)
    return "\(request) \(answer)"
  case .reply(let bytes, let close): return "\(bytes) \(close)"
  case .preflist(let key): return "preflist \(key)"
  case .needMore: return ""
  }
}
