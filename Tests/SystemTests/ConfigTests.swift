import Platform
import Testing

extension SystemTests {
  @Suite struct ConfigTests {
    @Test("cairn config check says what is wrong with a file and exits 1; the sample has nothing wrong")
    func check() throws {
      let directory = try ScratchDirectory("config")
      let path = directory.path + "/cairn.conf"
      try FileTree.write(Array("sync = always\nmax_filesize = 1GiB\nn_val = many\n".utf8), to: path)
      let wrong = try cairn("config", "check", path)
      #expect(wrong.code == 1 && wrong.output == [])
      let lines = wrong.errors.split(separator: "\n")
      #expect(lines.count == 2)
      #expect(lines.first == "\(path) line 2: there is no setting 'max_filesize'; did you mean 'max_file_size'?")
      #expect(lines.last == "\(path) line 3: 'many' is no value for 'n_val': it must be a number from 1 to 16")

      let sample = try cairn("config", "sample")
      #expect(sample.code == 0)
      try FileTree.write(sample.output, to: path)
      let right = try cairn("config", "check", path)
      #expect(right.code == 0 && right.outputText == "\(path): no mistakes\n" && right.errors == "")

      let missing = try cairn("config", "check", path + ".no")
      #expect(missing.code == 1 && missing.errors.hasPrefix("cairn: cannot read \(path).no: "))
      #expect(try cairn("config", "check").code == 2)
      #expect(try cairn("config", "check", path, path).code == 2)
      #expect(try cairn("config", "docs", "x").code == 2)
      #expect(try cairn("config", "docs").outputText.hasPrefix("# Configuration\n"))
    }
  }
}
