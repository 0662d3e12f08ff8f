import Messages
import Primitives
import Replication
import Testing

@Suite struct HandoffRateTests {
  @Test("hints are handed over no faster than handoff_rate allows, a short one counting as 256 bytes, and all of them")
  func rate() {
    let cluster = TestCluster(nodes: 3, changing: { $0.handoffBytesPerSecond = 64 << 10 })
    cluster.kill(3)
    cluster.advance(milliseconds: 3000)
    for key in 0..<3000 { _ = cluster.ask(1, put("k\(key)", "v")) }
    let kept = cluster.status(1)?.hints.reduce(0) { $0 + $1.count } ?? 0
    #expect(kept == 3000)
    func handedOver() -> Int {
      cluster.sent.count {
        guard case .push(let push) = $0.message.body else { return false }
        return push.kind == .handoff
      }
    }
    cluster.start(3, life: 1)
    var before = 0
    for _ in 0..<100 where before == 0 {
      cluster.advance(milliseconds: 10)
      before = handedOver()
    }
    cluster.advance(milliseconds: 2000)
    // As many as a pause allows have gone by now: from here on 256 in a second, and what is left of a page.
    #expect(before > 0 && handedOver() <= before + 2 * 256 + 256, "\(before), \(handedOver())")
    cluster.advance(milliseconds: 12_000)
    #expect(cluster.status(1)?.hints.allSatisfy { $0.count == 0 } == true)
    #expect(cluster.status(3)?.keysLive == 3000)
  }
}
