import Platform
import Protocols
import Testing

// `cairn simulate` as a command: one run, one run less some of its faults, and what it does not understand.

extension SystemTests {
  @Suite struct SimulateTests {
    @Test("a run is the same at every telling, and smaller without its faults")
    func runs() throws {
      let whole = try cairn("simulate", "--seed", "11", "--json")
      #expect(whole.code == 0 && whole.errors.isEmpty, "\(whole.errors)")
      #expect(try cairn("simulate", "--seed", "11", "--json").output == whole.output)
      let json = try JSON.parse(whole.output)
      let strikes = try #require(json["strikes"]?.array).compactMap { $0["number"]?.integer }
      #expect(json["passed"]?.bool == true && strikes.count == json["faults"]?.integer && strikes.count > 2)
      let first = "\(strikes[0])"
      let less = try JSON.parse(try cairn("simulate", "--seed", "11", "--without", "loss,\(first)", "--json").output)
      #expect(less["strikes_planned"]?.integer == json["strikes_planned"]?.integer)
      let left = try #require(less["strikes"]?.array).compactMap { $0["number"]?.integer }
      #expect(!left.contains(strikes[0]))
    }

    @Test("a run that passes is not made smaller, and that is said")
    func nothingToShrink() throws {
      let scratch = try ScratchDirectory("shrink")
      let result = try cairn(["simulate", "--seed", "11", "--shrink"], environment: ["TMPDIR=\(scratch.path)"])
      #expect(result.code == 1)
      #expect(result.outputText == "cairn simulate --seed 11   # passed: there is nothing to shrink\n")
      #expect(try FileTree.names(in: scratch.path).isEmpty)
    }

    @Test("what it does not understand ends with 2 and what to type")
    func refuses() throws {
      let hint = "  cairn simulate --seed 1 --without loss,3,7-12\n"
      let bound = "is neither a fault nor numbers from 1 to 4096"
      for (words, problem) in [
        (["--seed", "1", "--without", "rain"], "cairn: --without: 'rain' \(bound)\n\(hint)"),
        (["--seed", "1", "--without", "3,9-4"], "cairn: --without: '9-4' \(bound)\n\(hint)"),
        (["--seeds", "1..3", "--without", "loss"], "cairn: --without is for one run\n  give it with --seed S\n"),
        (
          ["--seed", "1", "--without-rule", "gravity"],
          "cairn: --without-rule: there is no rule 'gravity'\n  cairn simulate --help\n"
        ),
        (["--seeds", "1..3", "--shrink"], "cairn: --shrink is for one run\n  give it with --seed S\n"),
        (
          ["--seed", "1", "--shrink", "--trace"],
          "cairn: --shrink makes many runs and prints no trace and no JSON\n  cairn simulate --seed 1 --shrink\n"
        ),
      ] {
        let result = try cairn(["simulate"] + words)
        #expect(result.code == 2 && result.errors == problem && result.output.isEmpty, "\(result.errors)")
      }
    }
  }
}
