import Replication
import Testing

@Suite("Chaos")
struct ChaosTests {
  @Test("without a seed no rare branch is ever taken")
  func off() {
    var chaos = Chaos()
    for point in ChaosPoint.allCases { #expect(!(0..<1000).contains { _ in chaos.strikes(point) }) }
  }

  @Test("a branch is taken as often as it is wanted, at the chosen points alone, and alike from one seed")
  func rate() {
    var chaos = Chaos(seed: 3, perThousand: 200, points: [.leaseLate, .messageDropped])
    var same = chaos
    for point in ChaosPoint.allCases {
      let taken = (0..<2000).map { _ in chaos.strikes(point) }
      #expect(taken == (0..<2000).map { _ in same.strikes(point) })
      let count = taken.count { $0 }
      let isChosen = point == .leaseLate || point == .messageDropped
      #expect(isChosen ? (300...500).contains(count) : count == 0)
    }
  }
}
