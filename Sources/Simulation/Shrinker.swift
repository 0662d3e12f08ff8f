// From a failing run to a smaller one that fails for the same reason: faults are left out, first whole kinds, then half
// of the strikes, then fewer, in the end one by one, and whatever is not needed for the failure stays out. Greedy, after
// Zeller and Hildebrandt 2002, "Simplifying and Isolating Failure-Inducing Input". How a run is made is up to the caller.

package struct Shrinker {
  /// Runs that one search may make.
  package static let runsMax = 600

  /// What a run came to.
  package struct Outcome: Equatable, Sendable {
    /// Why it failed; nil when it passed. Two failures are the same when this is.
    package let reason: String?
    /// The strikes that took effect, in order.
    package let strikes: [Int]
    /// Strikes that the whole run has.
    package let planned: Int
    package init(reason: String?, strikes: [Int], planned: Int) {
      self.reason = reason
      self.strikes = strikes
      self.planned = planned
    }
  }

  package private(set) var omissions: Omissions
  package private(set) var runs = 0
  /// Strikes that are still in, in order.
  package private(set) var strikes: [Int] = []
  /// Whether nothing more can be left out, one at a time; otherwise the search ended at `runsMax`.
  package private(set) var isMinimal = false
  private var reason: String?
  /// Something was not tried for want of runs.
  private var isCutShort: Bool { runs >= runsMax }
  private let run: (Omissions) throws -> Outcome
  private let runsMax: Int

  package init(
    _ omissions: Omissions, runsMax: Int = Shrinker.runsMax, run: @escaping (Omissions) throws -> Outcome
  ) {
    self.omissions = omissions
    self.runsMax = runsMax
    self.run = run
  }

  /// Searches. False when the run does not fail to begin with.
  package mutating func shrink() throws -> Bool {
    runs += 1
    let first = try run(omissions)
    guard let reason = first.reason else { return false }
    self.reason = reason
    strikes = first.strikes
    var isSmaller = true
    while isSmaller && !isCutShort {
      isSmaller = try leaveOutKinds()
      if try leaveOutStrikes() { isSmaller = true }
    }
    isMinimal = !isSmaller && !isCutShort
    // What never struck is left out for good measure, so that the command says what is needed: if it still fails.
    var tidy = omissions
    let needed = Set(strikes)
    tidy.leaveOut(1...max(1, first.planned))
    tidy.keep(needed)
    if !isCutShort { _ = try attempt(tidy) }
    return true
  }

  /// Keeps `candidate` if it fails for the same reason.
  private mutating func attempt(_ candidate: Omissions) throws -> Bool {
    runs += 1
    let outcome = try run(candidate)
    guard outcome.reason == reason else { return false }
    omissions = candidate
    strikes = outcome.strikes
    return true
  }

  private mutating func leaveOutKinds() throws -> Bool {
    var isSmaller = false
    for fault in Fault.allCases where !omissions.contains(fault) && !isCutShort {
      var candidate = omissions
      candidate.leaveOut(fault)
      if try attempt(candidate) { isSmaller = true }
    }
    return isSmaller
  }

  private mutating func leaveOutStrikes() throws -> Bool {
    var isSmaller = false
    var portion = (strikes.count + 1) / 2
    while portion >= 1 {
      var start = 0
      while start < strikes.count {
        if isCutShort { return isSmaller }
        var candidate = omissions
        candidate.leaveOut(strikes[start..<min(strikes.count, start + portion)])
        let before = strikes.count
        if try attempt(candidate) {
          isSmaller = true
          // What follows has moved up; a run in which others strike now is gone through from where it stands.
          if strikes.count >= before { start += portion }
        } else {
          start += portion
        }
      }
      portion = portion == 1 ? 0 : (portion + 1) / 2
    }
    return isSmaller
  }
}
