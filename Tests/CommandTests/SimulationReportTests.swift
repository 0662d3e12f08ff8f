import Protocols
import Simulation
import Testing

@testable import cairn

@Suite("Reports of simulated runs")
struct SimulationReportTests {
  @Test("a worker's line is read back as it was written")
  func line() throws {
    let report = SimulationReport(simulate(seed: 3))
    let copy = try #require(SimulationReport(line: report.json.text(indent: false)))
    #expect(copy.summary == report.summary && copy.failureLine == report.failureLine)
    #expect(
      copy.strikes.map(\.number) == report.strikes.map(\.number)
        && copy.strikes.map(\.text) == report.strikes.map(\.text))
    #expect(SimulationReport(line: "run 3") == nil)
  }

  @Test("the line of a failure starts with the command that repeats it")
  func failureLine() {
    #expect(SimulationReport(crashed: 3, "crash: why").failureLine == "cairn simulate --seed 3   # crash: why")
    let omissions = Omissions.parse("loss,2-4").omissions
    var lawless = omissions
    #expect(lawless.leaveOutRules("floor,re-ask") == nil && lawless.leaveOutRules("gravity") == "gravity")
    #expect(
      SimulationReport(crashed: 3, "crash: why", without: lawless).failureLine
        == "cairn simulate --seed 3 --without loss,2-4 --without-rule floor,re-ask   # crash: why")
    let report = SimulationReport(crashed: 3, "crash: why", without: omissions)
    #expect(report.failureLine == "cairn simulate --seed 3 --without loss,2-4   # crash: why")
    #expect(report.advice.contains("cairn simulate --seed 3 --without loss,2-4 --shrink"))
    #expect(
      !report.strikes.contains { (2...4).contains($0.number) } && report.strikes.count == report.strikesPlanned - 3)
  }
}
