import Simulation
import Testing

// Leaving out: the text form, and the search for what a failure needs.

@Suite("Omissions")
struct OmissionTests {
  @Test(
    "the text form is read and written alike",
    arguments: ["loss", "kill,cut,loss", "3,7-12", "power-loss,cold-reads,1-4,9,4096"])
  func text(text: String) {
    let (omissions, problem) = Omissions.parse(text)
    #expect(problem == nil)
    #expect(omissions.description == text)
  }

  @Test(
    "what is neither a fault nor a number is refused, and so are numbers beyond the bound",
    arguments: ["", "3,", "rain", "0", "5-3", "1-2-3", "-4", "4097", "1-99999999999999999999"])
  func wrong(text: String) {
    #expect(Omissions.parse(text).problem != nil)
  }

  @Test("a strike is left out by its number or with its kind")
  func strikes() {
    let omissions = Omissions.parse("cut,3-5").omissions
    #expect(omissions.contains(.cut) && !omissions.contains(.kill))
    #expect(omissions.contains(strike: 4, of: .kill) && omissions.contains(strike: 9, of: .cut))
    #expect(!omissions.contains(strike: 9, of: .kill))
  }

  @Test("every fault of the list has a name of its own that can be left out")
  func names() {
    for fault in Fault.allCases { #expect(Omissions.parse(fault.rawValue).omissions.contains(fault)) }
  }
}

@Suite("Shrinking")
struct ShrinkerTests {
  /// A run with 60 strikes, every third of which is a cut, that fails when all of `needed` strike.
  private func outcome(_ omissions: Omissions, needed: Set<Int>, runs: inout Int) -> Shrinker.Outcome {
    runs += 1
    let strikes = (1...60).filter { !omissions.contains(strike: $0, of: $0.isMultiple(of: 3) ? .cut : .kill) }
    return Shrinker.Outcome(
      reason: needed.isSubset(of: strikes) ? "broken" : nil, strikes: strikes, planned: 60)
  }

  private func shrink(
    needed: Set<Int>, runsMax: Int = Shrinker.runsMax
  ) throws -> (shrinker: Shrinker, hasFailed: Bool, runs: Int) {
    var runs = 0
    var shrinker = Shrinker(Omissions(), runsMax: runsMax) { omissions in
      self.outcome(omissions, needed: needed, runs: &runs)
    }
    let hasFailed = try shrinker.shrink()
    return (shrinker, hasFailed, runs)
  }

  @Test(
    "exactly the strikes that a failure needs are left",
    arguments: [[17], [4, 5], [1, 60], [3, 30, 31, 44], [2, 4, 8, 16, 32]] as [Set<Int>])
  func exact(needed: Set<Int>) throws {
    let (shrinker, hasFailed, runs) = try shrink(needed: needed)
    #expect(hasFailed && shrinker.isMinimal)
    #expect(shrinker.strikes == needed.sorted())
    #expect(runs == shrinker.runs && runs < 200)
    for fault in Fault.allCases where fault != .kill && fault != .cut { #expect(shrinker.omissions.contains(fault)) }
  }

  @Test("a run that passes is left alone")
  func passes() throws {
    let (shrinker, hasFailed, runs) = try shrink(needed: [99])
    #expect(!hasFailed && runs == 1 && shrinker.omissions.isEmpty)
  }

  @Test("a smaller run that fails for another reason is none")
  func otherReason() throws {
    var shrinker = Shrinker(Omissions()) { omissions in
      Shrinker.Outcome(reason: omissions.isEmpty ? "broken" : "other", strikes: [1, 2], planned: 2)
    }
    #expect(try shrinker.shrink())
    #expect(shrinker.omissions.isEmpty && shrinker.strikes == [1, 2])
  }

  @Test("the search ends at its bound and says that it did", arguments: [1, 2, 20, 30])
  func bound(runsMax: Int) throws {
    let (shrinker, _, runs) = try shrink(needed: [2, 4, 8, 16, 32], runsMax: runsMax)
    #expect(runs <= runsMax)
    #expect(!shrinker.isMinimal)
  }

  /// A promise that no cluster keeps, for want of a bug: no kill and no cut in one run.
  @Test("of a whole run two strikes are left when two are what it takes", arguments: [UInt64(5)])
  func wholeRun(seed: UInt64) throws {
    var options = SimulationOptions()
    options.faults.means = [.kill: 400, .cut: 500, .pause: 450]
    options.faults.phaseMilliseconds = 4000
    options.workload.thinkMilliseconds = 200...400
    var shrinker = Shrinker(Omissions()) { omissions in
      let result = simulate(seed: seed, options: options, without: omissions)
      let faults = Set(result.strikes.map(\.fault))
      let isBroken = faults.contains(.kill) && faults.contains(.cut)
      return Shrinker.Outcome(
        reason: isBroken ? "a kill and a cut" : nil, strikes: result.strikes.map(\.number),
        planned: result.strikesPlanned)
    }
    #expect(try shrinker.shrink())
    #expect(shrinker.isMinimal && shrinker.strikes.count == 2)
    let result = simulate(seed: seed, options: options, without: shrinker.omissions)
    #expect(Set(result.strikes.map(\.fault)) == [.kill, .cut])
    #expect(result.strikes.map(\.number) == shrinker.strikes)
  }

  @Test("what is left out does not strike, and nothing else in the plan moves", arguments: UInt64(9)...11)
  func planStays(seed: UInt64) {
    let whole = simulate(seed: seed)
    let omissions = Omissions.parse("kill,loss,1-5").omissions
    let less = simulate(seed: seed, without: omissions)
    #expect(whole.strikesPlanned == less.strikesPlanned)
    #expect(!less.strikes.contains { $0.fault == .kill || $0.number <= 5 })
    let places = Dictionary(uniqueKeysWithValues: whole.strikes.map { ($0.number, $0.fault) })
    for strike in less.strikes { #expect(places[strike.number].map { $0 == strike.fault } ?? true) }
    #expect(less.violations == [])
  }
}
