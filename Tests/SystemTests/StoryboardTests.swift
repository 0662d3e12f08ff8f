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
