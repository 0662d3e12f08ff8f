import Primitives
import Replication
import Simulation
import Storage
import Testing

// The parts of the simulated world: the order of events, the network, the clocks.

@Suite("Event queue")
struct EventQueueTests {
  @Test("events come out by time, and in the order of scheduling at equal times", arguments: UInt64(0)..<20)
  func order(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var queue = EventQueue<Int>()
    var model: [(time: UInt64, number: Int)] = []
    var number = 0
    for _ in 0..<400 {
      if generator.chance(3, in: 5) {
        let time = UInt64(generator.below(20))
        queue.schedule(number, at: Instant(nanoseconds: time))
        model.append((time, number))
        number += 1
      } else {
        let expected = model.min { ($0.time, $0.number) < ($1.time, $1.number) }
        model.removeAll { $0.number == expected?.number }
        let found = queue.next()
        #expect(found?.payload == expected?.number)
        #expect(found?.time.nanoseconds == expected?.time)
      }
      #expect(queue.count == model.count)
    }
  }

  @Test("what is postponed keeps its order and its distances")
  func postponed() {
    var queue = EventQueue<Int>()
    for (number, time) in [UInt64(30), 10, 10, 20].enumerated() {
      queue.schedule(number, at: Instant(nanoseconds: time))
    }
    queue.postpone(byNanoseconds: 100)
    queue.schedule(9, at: Instant(nanoseconds: 115))
    var order: [Int] = []
    var times: [UInt64] = []
    while let next = queue.next() {
      order.append(next.payload)
      times.append(next.time.nanoseconds)
    }
    #expect(order == [1, 2, 9, 3, 0])
    #expect(times == [110, 110, 115, 120, 130])
  }
}

@Suite("Simulated network")
struct SimulatedNetworkTests {
  private let there = SimulatedNetwork.Path(from: 0, to: 1)
  private let back = SimulatedNetwork.Path(from: 1, to: 0)

  private func network(seed: UInt64 = 1, _ change: (inout NetworkOptions) -> Void = { _ in }) -> SimulatedNetwork {
    var options = NetworkOptions()
    change(&options)
    return SimulatedNetwork(nodes: 3, options: options, seed: seed)
  }

  @Test("without faults every message arrives once, within the delay of the run", arguments: UInt64(0)..<5)
  func quiet(seed: UInt64) throws {
    var network = network(seed: seed)
    for _ in 0..<200 {
      let fate = network.send([1], on: there)
      let delay = try #require(fate.first)
      #expect((50_000...500_000).contains(delay))
      #expect(fate.second == nil)
    }
  }

  @Test("messages are lost, doubled and late as often as the options say")
  func rates() {
    var network = network {
      $0.lossPerMillion = 100_000
      $0.duplicationPerMillion = 200_000
      $0.longDelayPerMillion = 50_000
      $0.longDelayMilliseconds = 1000...2000
    }
    var lost = 0
    var doubled = 0
    var late = 0
    for _ in 0..<10_000 {
      let fate = network.send([1], on: there)
      if fate.first == nil { lost += 1 }
      if fate.second != nil { doubled += 1 }
      if let delay = fate.first, delay >= 1_000_000_000 { late += 1 }
    }
    #expect((900...1100).contains(lost))
    #expect((1650...1950).contains(doubled))
    #expect((380...520).contains(late))
    network.calm()
    for _ in 0..<1000 { #expect(network.send([1], on: there).first != nil) }
  }

  @Test("a cut works in its direction only and holds what is sent into it, up to a bound")
  func cut() {
    var network = network()
    let generation = network.connect(there, peerLife: 1)
    network.cut(there)
    #expect(network.send([7], on: there).first == nil)
    #expect(network.send([8], on: back).first != nil)
    for _ in 0..<2 * SimulatedNetwork.heldMax { _ = network.send([9], on: there) }
    let held = network.heal(there)
    #expect(held.count == SimulatedNetwork.heldMax)
    #expect(held.first?.bytes == [7])
    #expect(held.first?.generation == generation)
    #expect(network.send([7], on: there).first != nil)
    #expect(network.heal(there).isEmpty)
  }

  @Test("what a cut holds of a connection that was given up is flushed when it heals, or lost with it")
  func stuckSocket() {
    var flushed = 0
    for seed in UInt64(0)..<40 {
      var network = network(seed: seed)
      let generation = network.connect(there, peerLife: 3)
      network.cut(there)
      _ = network.send([7], on: there)
      network.disconnect(there)
      _ = network.connect(there, peerLife: 4)
      let held = network.heal(there)
      #expect(held.isEmpty == (generation < network[there].lostBelow))
      flushed += held.count
      for stuck in held { #expect(stuck.generation == generation && stuck.peerLife == 3 && stuck.bytes == [7]) }
    }
    #expect((10...30).contains(flushed))
  }

  @Test("what is left out of a run is drawn all the same: the rest stays as it was")
  func leftOut() {
    var options = NetworkOptions()
    options.lossPerMillion = 200_000
    options.duplicationPerMillion = 200_000
    var whole = SimulatedNetwork(nodes: 3, options: options, seed: 1)
    var less = SimulatedNetwork(nodes: 3, options: options, seed: 1, without: Omissions.parse("duplication").omissions)
    var doubled = 0
    for _ in 0..<500 {
      let fate = whole.send([1], on: there)
      let same = less.send([1], on: there)
      #expect(fate.first == same.first && same.second == nil)
      if fate.second != nil { doubled += 1 }
    }
    #expect(doubled > 50)
  }

  @Test("a cut that does not hold loses what is sent into it")
  func losingCut() {
    var network = network { $0.cutsHold = false }
    network.cut(there)
    _ = network.send([7], on: there)
    #expect(network.heal(there).isEmpty)
  }

  @Test("a broken connection may or may not take with it what is under way")
  func reset() {
    var losses = 0
    for seed in 0..<100 {
      var network = network(seed: UInt64(seed))
      let generation = network.connect(there, peerLife: 1)
      network.disconnect(there)
      #expect(!network[there].isUp)
      if generation < network[there].lostBelow { losses += 1 }
      let next = network.connect(there, peerLife: 2)
      #expect(next == generation + 1)
      #expect(next >= network[there].lostBelow)
    }
    #expect((30...70).contains(losses))
  }
}

@Suite("Simulated clock")
struct SimulatedClockTests {
  @Test("a clock that is fast or slow runs for a hundred years", arguments: [-500, 500])
  func long(drift: Int) {
    let clock = SimulatedClock(driftPerMillion: drift, offsetMilliseconds: 0)
    let years = UInt64(100 * 365 * 86_400) * 1_000_000_000
    #expect(
      clock.moment(at: Instant(nanoseconds: years)).instant.nanoseconds
        == UInt64(Int64(years) / 1_000_000 * Int64(1_000_000 + drift)))
  }

  @Test("the monotonic clock never goes back, whatever the wall clock does", arguments: [-1000, -7, 0, 500])
  func monotonic(drift: Int) {
    var clock = SimulatedClock(driftPerMillion: drift, offsetMilliseconds: 0)
    var last = clock.moment(at: Instant(nanoseconds: 0)).instant
    for step in UInt64(1)...1000 {
      if step.isMultiple(of: 100) { clock.jump(byMilliseconds: -3_600_000) }
      if step == 555 { clock.heal(at: Instant(nanoseconds: step * 997_331)) }
      let moment = clock.moment(at: Instant(nanoseconds: step * 997_331))
      #expect(moment.instant > last)
      last = moment.instant
    }
  }

  @Test("the wall clock is offset, drifts, jumps and is set right")
  func wall() {
    let hour = Instant(nanoseconds: 3_600_000_000_000)
    var clock = SimulatedClock(driftPerMillion: 100, offsetMilliseconds: -50)
    let start = SimulatedClock.epochMilliseconds
    #expect(clock.moment(at: Instant(nanoseconds: 0)).wallMilliseconds == start - 50)
    #expect(clock.moment(at: hour).wallMilliseconds == start + 3_600_000 - 50 + 360)
    clock.jump(byMilliseconds: 1000)
    #expect(clock.moment(at: hour).wallMilliseconds == start + 3_600_000 + 950 + 360)
    clock.heal(at: hour)
    #expect(clock.moment(at: hour).wallMilliseconds == start + 3_600_000)
  }
}

@Suite("Options of a run")
struct SimulationOptionsTests {
  @Test("every kind of fault is on in some runs and off in others")
  func swarm() {
    let runs = (UInt64(0)..<200).map { SimulationOptions(seed: $0) }
    var switches: [(SimulationOptions) -> Bool] = [
      { $0.faults.duringBootstrap }, { $0.network.lossPerMillion > 0 }, { $0.network.duplicationPerMillion > 0 },
      { $0.network.longDelayPerMillion > 0 }, { $0.disk.coldReadsPerThousand > 0 }, { $0.sync == .always },
      { $0.sync == .never }, { $0.sync == .interval }, { $0.nodes > 3 }, { $0.workload.deletePercent > 0 },
      { $0.faults.healsCoreFirst }, { $0.faults.chaosPerThousand > 0 }, { $0.faults.nodesThatForget > 0 },
      { $0.network.longDelayMilliseconds.upperBound > 3_600_000 },
    ]
    for fault in Fault.striking { switches.append { $0.faults.means[fault] != nil } }
    for kind in WorkloadKind.allCases { switches.append { $0.workload.kind == kind } }
    for point in ChaosPoint.allCases { switches.append { $0.faults.chaosPoints.contains(point) } }
    for isOn in switches {
      let count = runs.count { isOn($0) }
      #expect((8...192).contains(count))
    }
  }
}
