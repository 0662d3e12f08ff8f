package import Storage

// What is left out of a run: whole kinds of misfortune by name, single strikes by number; and rules of the delete
// protocol, which the nodes of the run do not keep then. As text, for a command line: `loss,cut,3,7-12`, and of rules
// `floor,re-ask`.

package struct Omissions: Equatable, Sendable, CustomStringConvertible {
  package private(set) var faults: Set<Fault> = []
  package private(set) var strikes: Set<Int> = []
  /// What the nodes of the run keep to.
  package private(set) var rules = Rules.all

  package init() {}

  package static let strikeMax = FaultPlan.strikesMax

  /// Reads the text form. On failure `problem` says which word is wrong and why.
  package static func parse(_ text: String) -> (omissions: Omissions, problem: String?) {
    var omissions = Omissions()
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      if let fault = Fault(rawValue: String(word)) {
        omissions.leaveOut(fault)
        continue
      }
      let sides = word.split(separator: "-", omittingEmptySubsequences: false)
      guard sides.count <= 2, let first = sides.first.flatMap({ Int($0) }), let last = sides.last.flatMap({ Int($0) }),
        first >= 1, first <= last, last <= strikeMax
      else { return (omissions, "'\(word)' is neither a fault nor numbers from 1 to \(strikeMax)") }
      omissions.leaveOut(first...last)
    }
    return (omissions, nil)
  }

  /// Leaves out rules by the text form of their names. Returns the word that names none; nil when all do.
  package mutating func leaveOutRules(_ text: String) -> String? {
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let rule = Rule.allCases.first(where: { $0.name == word }) else { return String(word) }
      rules = rules.without(rule)
    }
    return nil
  }

  package var isEmpty: Bool { faults.isEmpty && strikes.isEmpty && rules == .all }

  /// The rules that are left out, as text.
  package var rulesText: String { rules.missing.map(\.name).joined(separator: ",") }

  package mutating func leaveOut(_ fault: Fault) { faults.insert(fault) }
  package mutating func leaveOut(_ numbers: some Sequence<Int>) { strikes.formUnion(numbers) }

  /// These are not left out by number.
  package mutating func keep(_ numbers: Set<Int>) { strikes.subtract(numbers) }

  package func contains(_ fault: Fault) -> Bool { faults.contains(fault) }
  package func contains(strike number: Int, of fault: Fault) -> Bool {
    faults.contains(fault) || strikes.contains(number)
  }

  package var description: String {
    var words = Fault.allCases.filter { faults.contains($0) }.map(\.rawValue)
    var run: ClosedRange<Int>?
    for number in strikes.sorted() {
      if let open = run, open.upperBound + 1 == number {
        run = open.lowerBound...number
      } else {
        if let run { words.append(Omissions.text(run)) }
        run = number...number
      }
    }
    if let run { words.append(Omissions.text(run)) }
    return words.joined(separator: ",")
  }

  private static func text(_ run: ClosedRange<Int>) -> String {
    run.count == 1 ? "\(run.lowerBound)" : "\(run.lowerBound)-\(run.upperBound)"
  }
}

extension Rule {
  /// As a person writes it: `re-ask`.
  package var name: String {
    var name = ""
    for character in "\(self)" { name += character.isUppercase ? "-" + character.lowercased() : String(character) }
    return name
  }
}
