import Causality
import Messages
import Primitives
import Protocols
import Storage

func measure(_ name: String, _ n: Int, _ body: () -> Int) {
  var best = Double.infinity
  var sink = 0
  for _ in 0..<1 {
    let clock = ContinuousClock()
    let t = clock.measure { sink &+= body() }
    best = min(best, Double(t.components.attoseconds) / 1e9 + Double(t.components.seconds) * 1e9)
  }
  print(name, best / Double(n), "ns/op", sink & 1)
}
let stamp = Stamp(time: HybridTime(milliseconds: 784_111_777_123, counter: 5), actor: ActorID(0xAB))
let n = 1_000_000
let key = ObjectKey(bucket: Array("b".utf8), key: Array("key:0000012345".utf8))!
let value = [UInt8](repeating: 7, count: 100)
let pl = ObjectContent(contentType: Array("application/octet-stream".utf8), value: value).encoded()
let push = PeerMessage(time: stamp.time, body: .push(Push(operation: 1, store: StoreID(partition: 3, replicas: 3), configID: 1, key: key, version: StoredVersion(stamp: stamp, isTombstone: false, value: pl), wantsApplied: true, wantsSynced: true)))
let ack = PeerMessage(time: stamp.time, body: .pushReply(PushReply(operation: 1, stamp: stamp, outcome: .applied(synced: true))))
for (name, m) in [("push", push), ("ack", ack)] where CommandLine.arguments.count < 2 {
  var buf: [UInt8] = []
  measure(name + " encode", n) { for i in 0..<n { if i & 255 == 0 { buf.removeAll(keepingCapacity: true) }; m.encode(into: &buf) }; return buf.count }
  var one: [UInt8] = []; m.encode(into: &one)
  measure(name + " decode", n) { var s = 0; for _ in 0..<n { var r = ByteReader(one); if let x = try? PeerMessage(decoding: &r) { s &+= Int(x.time.rawValue & 1) } }; return s }
  var ob = PeerOutbox(bytesMax: 1 << 30); var dec = FrameDecoder(); var out: [UInt8] = []
  measure(name + " outbox+frame+decode", n) {
    var got = 0
    for _ in 0..<n / 32 {
      for _ in 0..<32 { _ = ob.enqueue(m) }
      out.removeAll(keepingCapacity: true)
      ob.drain(into: &out, atMost: 1 << 20)
      unsafe out.withUnsafeBytes { unsafe dec.receive($0) }
      while let x = try? dec.next() { got &+= Int(x.time.rawValue & 1) }
    }
    return got
  }
  measure(name + " outbox only", n) {
    for _ in 0..<n / 32 {
      for _ in 0..<32 { _ = ob.enqueue(m) }
      out.removeAll(keepingCapacity: true)
      ob.drain(into: &out, atMost: 1 << 20)
    }
    return out.count
  }
}
let getText = Array("GET /buckets/b/keys/key:0000012345 HTTP/1.1\r\nHost: l\r\n\r\n".utf8)
let curlText = Array("GET /buckets/b/keys/key:0000012345 HTTP/1.1\r\nHost: localhost:10018\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n".utf8)
let putText = Array("PUT /buckets/b/keys/key:0000012345 HTTP/1.1\r\nHost: l\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\n".utf8) + value
for (name, text) in [("get", getText), ("get curl", curlText), ("put", putText)] {
  for batch in [1, 16] where CommandLine.arguments.count < 3 || CommandLine.arguments[2] == name + "\(batch)" {
    var bytes: [UInt8] = []
    for _ in 0..<batch { bytes += text }
    var session = HTTPSession()
    measure("\(name) parse batch \(batch)", n) {
      var s = 0
      for _ in 0..<n / batch {
        unsafe bytes.withUnsafeBytes { unsafe session.receive($0) }
        loop: while true {
          switch session.next() {
          case .needMore: break loop
          case .request: s &+= 1
          default: fatalError()
          }
        }
      }
      return s
    }
  }
}
var session = HTTPSession()
unsafe getText.withUnsafeBytes { unsafe session.receive($0) }
if CommandLine.arguments.count < 3 || CommandLine.arguments[2] == "reply", case .request(_, let reply) = session.next() {
  var out: [UInt8] = []
  let response = ClientResponse.object(stamp: stamp, payload: pl)
  measure("encode object", n) { for i in 0..<n { if i & 63 == 0 { out.removeAll(keepingCapacity: true) }; reply.encode(response, into: &out) }; return out.count }
  measure("encode stored", n) { for i in 0..<n { if i & 63 == 0 { out.removeAll(keepingCapacity: true) }; reply.encode(.stored(stamp: stamp), into: &out) }; return out.count }
  measure("encode notfound", n) { for i in 0..<n { if i & 63 == 0 { out.removeAll(keepingCapacity: true) }; reply.encode(.notFound(tombstone: nil), into: &out) }; return out.count }
}
