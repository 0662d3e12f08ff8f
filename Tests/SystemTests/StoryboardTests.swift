import Platform
import Protocols
import Testing

// `cairn storyboard` as a command: what it prints, how it ends, and what it leaves behind.

extension SystemTests {
  @Suite struct StoryboardTests {
    @Test("it plays, prints the same at every telling, and leaves nothing behind")
    func plays() throws {
      let scratch = try ScratchDirectory("storyboard")
      let environment = ["TMPDIR=\(scratch.path)"]
      let first = try cairn(["storyboard", "--rule=naive"], environment: environment)
      #expect(first.code == 0 && first.errors.isEmpty, "\(first.errors)")
      #expect(first.outputText.contains("\nGET apple: red\nVerdict: the key is back.\n"))
      #expect(!first.outputText.utf8.contains(0x1B))
      #expect(try cairn(["storyboard", "--rule=naive"], environment: environment).output == first.output)
      let real = try cairn(["storyboard", "--json"], environment: environment)
      let json = try JSON.parse(real.output)
      #expect(real.code == 0 && json["rule"]?.string == "overlap" && json["gap"]?.string == "immediate")
      #expect(json["verdict"]?.string == "the key stays deleted")
      #expect(try FileTree.names(in: scratch.path).isEmpty)
    }

    @Test("a late hint brings nothing back on real processes, step by step, and neither process nor file is left")
    func cluster() throws {
      let scratch = try ScratchDirectory("storyboard-cluster")
      let told = try cairn(["storyboard", "--cluster"], environment: ["TMPDIR=\(scratch.path)"])
      #expect(told.code == 0 && told.errors.isEmpty, "\(told.errors)")
      let lines = told.outputText.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      let steps = lines.compactMap { line in
        line.first?.isNumber == true ? line.split(separator: "(", maxSplits: 1).first.map(String.init) : nil
      }
      #expect(
        steps == [
          "1. Three nodes, each key on all of them  ", "2. n3 is killed  ", "3. PUT of 6 keys through n1: 204  ",
          "4. n3 is back  ", "5. DELETE of all of them through n2: 204  ",
          "6. The tombstones are forgotten on every node  ", "7. The late hints reach n3  ",
        ])
      #expect(lines.filter { $0 == "   n3    -             -            -           down" }.count == 2)
      #expect(lines.contains("   n1    6             -            -           6 values"))
      // Of the step before the hints come, and of the one after.
      #expect(lines.contains("   n1    5             -            -           nothing"))
      #expect(lines.contains("   n3    -             5            5           nothing"))
      #expect(told.outputText.hasSuffix("each of the 6 keys  3  404  404  404\n\nVerdict: the keys stay deleted.\n"))
      #expect(!told.outputText.utf8.contains(0x1B))
      #expect(try FileTree.names(in: scratch.path).isEmpty)
      #expect(try shell("pgrep -f '\(scratch.path)[/]'") == .exited(1), "processes are left")
    }

    @Test(
      "whoever ends it ends its processes too, and its files go",
      arguments: [(ProcessSignal.interrupt, Int32(130)), (.terminate, 143), (.hangUp, 129)])
    func stopped(signal: ProcessSignal, code: Int32) throws {
      let scratch = try ScratchDirectory("storyboard-stopped")
      let running = try RunningCommand(
        ["storyboard", "--cluster"], name: "storyboard-\(code)", environment: ["TMPDIR=\(scratch.path)"])
      try eventually("the tombstones are forgotten") { running.output.contains("\n6. ") }
      #expect(try shell("pgrep -f '\(scratch.path)[/]'") == .exited(0), "processes run")
      running.identity.signal(signal)
      let result = try running.finish()
      let name = [129: "SIGHUP", 130: "SIGINT"][code] ?? "SIGTERM"
      #expect(result.code == code && result.errors == "cairn: stopped by \(name)\n", "\(result.errors)")
      #expect(try FileTree.names(in: scratch.path).isEmpty)
      #expect(try shell("pgrep -f '\(scratch.path)[/]'") == .exited(1), "processes are left")
    }

    @Test("whoever reads may go away: its processes end, and its files go")
    func unread() throws {
      let scratch = try ScratchDirectory("storyboard-unread")
      _ = try shell("TMPDIR=\(scratch.path) \(Binary.cairn) storyboard --cluster | head -n 1")
      try eventually("nothing is left") {
        try FileTree.names(in: scratch.path).isEmpty && shell("pgrep -f '\(scratch.path)[/]'") == .exited(1)
      }
    }

    @Test("without the rule that turns late hints away the keys come back, in the simulator, and with all rules not")
    func withoutRule() throws {
      let first = try cairn("storyboard", "--cluster", "--without", "floor")
      #expect(first.code == 0 && first.errors.isEmpty, "\(first.errors)")
      #expect(first.outputText.contains("\nVerdict: apple, deleted with a 204, is back.\n\nThe same with all rules, "))
      #expect(first.outputText.hasSuffix("\nVerdict: the keys stay deleted.\n"))
      let json = try cairn("storyboard", "--cluster", "--without=hint-stamp", "--json")
      let document = try JSON.parse(json.output)
      #expect(json.code == 0 && document["verdict"]?.string == "the key is back")
      #expect(document["with_all_rules"]?["verdict"]?.string == "the key stays deleted")
      #expect(try cairn("storyboard", "--cluster", "--without", "echo").code == 2)
    }

    @Test("what it does not understand ends with 2 and what to type, what it cannot do with 1")
    func refuses() throws {
      for (words, problem) in [
        (["--rule", "naiv"], "cairn: --rule is 'naiv', not one of: naive, overlap\n  did you mean --rule naive?\n"),
        (["--gap", ""], "cairn: --gap is '', not one of: immediate, delayed\n  see cairn storyboard --help\n"),
        (["--rul"], "cairn: cairn storyboard has no option --rul\n  did you mean --rule?\n"),
      ] {
        let result = try cairn(["storyboard"] + words)
        #expect(result.code == 2 && result.errors == problem && result.output.isEmpty, "\(result.errors)")
      }
      #expect(try cairn("storyboard", "apple").code == 2)
      #expect(try cairn("storyboard", "--help").outputText.contains("cairn storyboard --rule overlap --gap delayed"))
      let missing = try cairn(["storyboard"], environment: ["TMPDIR=/proc/nowhere"])
      #expect(missing.code == 1 && missing.errors.hasPrefix("cairn: cannot create /proc/nowhere/cairn-storyboard-"))
    }
  }
}
