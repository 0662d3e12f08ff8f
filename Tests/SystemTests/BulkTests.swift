import Client
import Platform
import Primitives
import Protocols
import Testing

@testable import cairn

extension SystemTests {
  /// Imports and exports with real processes and a real cluster. What an import does with each record is tested against
  /// a scripted server (`ImporterTests`); here is what only processes, signals and disks can show.
  @Suite struct BulkTests {
    private func urls(_ cluster: TestCluster) -> [String] { (1...3).flatMap { ["--url", cluster.url($0)] } }

    @Test("what is imported and exported again is the same, byte for byte, in both formats, through files and pipes")
    func roundTrip() throws {
      try TestCluster.with("bulk-round-trip") { cluster in
        let files = try BulkFiles("round-trip")
        let objects = BulkFiles.objects(3000, seed: 1)
        var csv = Array("key,value,content_type\n".utf8)
        for object in objects {
          csv.appendCSVField(object.key[...])
          csv.append(Delimiter.comma)
          csv.appendCSVField(object.value[...])
          csv += Array(",text/plain; charset=utf-8\n".utf8)
        }
        try files.write(csv, to: "in.csv")
        let first = try cairn(["import", files.path("in.csv"), "--bucket", "a", "--json"] + urls(cluster))
        let report = try JSON.parse(first.output)
        #expect(first.code == 0 && report["imported"]?.integer == 3000 && report["complete"]?.bool == true, "\(first)")
        #expect(!files.has("in.csv.cairn-checkpoint") && !files.has("in.csv.rejects"))

        #expect(try cairn(["export", files.path("out.csv"), "--bucket", "a"] + urls(cluster)).code == 0)
        #expect(try files.records("out.csv") == files.records("in.csv"))
        #expect(!files.has("out.csv.partial") && !files.has("out.csv.partial.keys"))
        // Out as JSON lines into another bucket, and out of that again: the bytes that are no text as base64.
        #expect(try cairn(["export", files.path("out.jsonl"), "--bucket", "a"] + urls(cluster)).code == 0)
        let lines = try files.bytes("out.jsonl")
        let piped = try cairn(["import", "-", "--format", "jsonl", "--bucket", "c"] + urls(cluster), input: lines)
        #expect(piped.code == 0 && piped.errors.contains("imported 3,000 records"), "\(piped.errors)")
        let again = try cairn(["export", "--bucket", "c", "--format", "csv", "--quiet"] + urls(cluster))
        try files.write(again.output, to: "again.csv")
        #expect(again.code == 0)
        #expect(try files.records("again.csv") == files.records("in.csv"))

        let keys = try cairn(["keys", "a", "--json"] + urls(cluster)).outputText.split(separator: "\n")
        var expected: [String] = []
        for object in objects {
          var text: [UInt8] = []
          text.appendJSONText(object.key)
          expected.append(String(decoding: text, as: UTF8.self))
        }
        #expect(keys.map(String.init).sorted() == expected.sorted())
        #expect(
          try cairn(["keys", "--buckets"] + urls(cluster)).outputText.split(separator: "\n").sorted() == ["a", "c"])
        #expect(try cairn(["keys", "none"] + urls(cluster)).output == [])
      }
    }

    @Test("metadata goes through JSON lines, CSV says that it does not, and what a node refuses can be repaired")
    func metadataAndRejects() throws {
      try TestCluster.with("bulk-metadata") { cluster in
        let files = try BulkFiles("metadata")
        let good =
          #"{"key":"a","value":"v","content_type":"text/x; q=\"é\"","#
          + #""metadata":{"X-Riak-Meta-N":"é","Content-Encoding":"x"}}"#
        let bad = #"{"key":"b","value":"w","content_type":"nonsense"}"#
        try files.write(Array("\(good)\n\(bad)\n".utf8), to: "in.jsonl")
        let first = try cairn(["import", files.path("in.jsonl"), "--bucket", "m"] + urls(cluster))
        #expect(first.code == 1 && first.errors.contains("1 records were rejected"), "\(first.errors)")
        let rejects = try files.text("in.jsonl.rejects")
        #expect(rejects.contains("\"line\":2") && rejects.contains("answered 415") && rejects.hasSuffix("\(bad)\n"))
        try files.write(Array(rejects.replacing("nonsense", with: "some/sense").utf8), to: "in.jsonl.rejects")
        let second = try cairn(["import", files.path("in.jsonl.rejects"), "--bucket", "m"] + urls(cluster))
        #expect(second.code == 0 && second.errors.contains("imported 1 records"), "\(second.errors)")

        #expect(try cairn(["export", files.path("out.jsonl"), "--bucket", "m"] + urls(cluster)).code == 0)
        #expect(try files.text("out.jsonl").contains(good))
        #expect(try files.text("out.jsonl").contains("some/sense"))
        let csv = try cairn(["export", files.path("out.csv"), "--bucket", "m"] + urls(cluster))
        #expect(csv.code == 0 && csv.errors.contains("1 have metadata"))
      }
    }

    @Test("ctrl-C, kill -9 of the import and of a node, and a cluster that goes away lose no record")
    func interrupted() throws {
      try TestCluster.with("bulk-interrupted") { cluster in
        let files = try BulkFiles("interrupted")
        // One on its way at a time, and far more than that brings in while a checkpoint is waited for three times.
        let count = 20_000
        let lines = (0..<count).map { "{\"key\":\"k\($0)\",\"value\":\"value \($0)\"}\n" }.joined()
        try files.write(Array(lines.utf8), to: "in.jsonl")
        let words =
          ["import", files.path("in.jsonl"), "--bucket", "i", "--retry-for", "2s"] + urls(cluster)
        func imported() -> Int { files.checkpoint("in.jsonl.cairn-checkpoint", "imported") ?? 0 }
        /// Runs the import until some more is in, then does something to it.
        func run(
          _ name: String, inFlight: Int = 1, _ hurt: (RunningCommand) throws -> Void
        ) throws -> CommandResult {
          let before = imported()
          let running = try RunningCommand(words + ["--in-flight", "\(inFlight)"], name: "bulk-" + name)
          try eventually("some records are in") { imported() > before }
          try hurt(running)
          return try running.finish()
        }

        let interrupted = try run("interrupt") { $0.identity.signal(.interrupt) }
        #expect(interrupted.end == .exited(130))
        #expect(
          interrupted.errors.contains("to go on: ") && interrupted.errors.contains("import \(files.path("in.jsonl"))"))
        let afterInterrupt = imported()
        #expect(afterInterrupt > 0 && afterInterrupt < count)

        let killed = try run("kill") { $0.identity.signal(.kill) }
        #expect(killed.end == .signalled(9))
        #expect(imported() > afterInterrupt && imported() < count)

        let away = try run("away") { _ in cluster.killAll() }
        #expect(away.code == 1 && away.errors.contains("no success for 2 s") && away.errors.contains("to go on"))
        #expect(imported() < count)
        try cluster.local("up")

        // One node of three is no reason to stop.
        let last = try run("node", inFlight: 8) { _ in try cluster.local("kill", "2") }
        #expect(last.code == 0 && last.errors.contains("going on behind"), "\(last.errors)")
        #expect(last.errors.contains("imported 20,000 records") && !files.has("in.jsonl.cairn-checkpoint"))
        try cluster.local("start", "2")
        #expect(
          try cairn(["export", files.path("out.jsonl"), "--bucket", "i", "--r", "all"] + urls(cluster)).code == 0)
        let expected = lines.split(separator: "\n").map {
          Array(($0.dropLast() + ",\"content_type\":\"text/plain; charset=utf-8\"}").utf8)
        }
        #expect(try files.records("out.jsonl") == expected.sorted { $0.lexicographicallyPrecedes($1) })
      }
    }

    @Test("an export that is stopped goes on, one that finds the disk full says so, and neither leaves half a file")
    func exportStopped() throws {
      try TestCluster.with("bulk-export") { cluster in
        let files = try BulkFiles("export")
        let value = String(repeating: "v", count: 100)
        let lines = (0..<6000).map { "{\"key\":\"k\($0)\",\"value\":\"\(value)\"}\n" }.joined()
        try files.write(Array(lines.utf8), to: "in.jsonl")
        #expect(try cairn(["import", files.path("in.jsonl"), "--bucket", "e"] + urls(cluster)).code == 0)
        let whole = try cairn(["export", "--bucket", "e", "--quiet"] + urls(cluster))
        try files.write(whole.output, to: "whole.jsonl")

        let words = ["export", files.path("out.jsonl"), "--bucket", "e", "--in-flight", "1", "--url", cluster.url(1)]
        func exported() -> Int { files.checkpoint("out.jsonl.partial.checkpoint", "exported") ?? 0 }
        for (signal, end) in [(ProcessSignal.interrupt, ProcessEnd.exited(130)), (.kill, .signalled(9))] {
          let before = exported()
          let running = try RunningCommand(words, name: "bulk-export-\(before)")
          try eventually("some objects are out") { exported() > before }
          running.identity.signal(signal)
          #expect(try running.finish().end == end)
          #expect(!files.has("out.jsonl") && files.has("out.jsonl.partial"))
        }
        // What is deleted after the listing is left out and counted.
        #expect(exported() > 0 && exported() < 6000)
        let done = Set(try files.records("out.jsonl.partial"))
        let found = try files.records("whole.jsonl").first { !done.contains($0) }
        let missing = try #require(found)
        let key = try JSON.parse(missing)["key"]?.string ?? ""
        #expect(try cairn(["delete", "e", key, "--url", cluster.url(2)]).code == 0)
        let last = try cairn(["export", files.path("out.jsonl"), "--bucket", "e", "--url", cluster.url(2)])
        #expect(last.code == 0 && last.errors.contains("1 were deleted after they had been listed"), "\(last.errors)")
        #expect(!files.has("out.jsonl.partial") && !files.has("out.jsonl.partial.checkpoint"))
        #expect(try files.records("out.jsonl") == files.records("whole.jsonl").filter { $0 != missing })

        let full = try cairn(["export", "--bucket", "e", "--url", cluster.url(1)], outputPath: "/dev/full")
        #expect(full.code == 1 && full.errors.contains("no space left on device"), "\(full.errors)")
        try fullDisk(cluster, files)
      }
    }

    /// Exports to a small file system of its own, which only root can make.
    private func fullDisk(_ cluster: TestCluster, _ files: BulkFiles) throws {
      let mount = files.path("small")
      try FileTree.create(mount)
      guard try shell("mount -t tmpfs -o size=400k cairn-test \(mount)") == .exited(0) else {
        print("SKIPPED: the test of an export to a full disk, because nothing can be mounted here")
        return
      }
      defer { _ = try? shell("umount \(mount)") }
      let words = ["export", "\(mount)/out.jsonl", "--bucket", "e"] + urls(cluster)
      let full = try cairn(words)
      #expect(full.code == 1 && full.errors.contains("no space left on device"), "\(full.errors)")
      #expect(full.errors.contains("out.jsonl.partial at byte ") && full.errors.contains("to go on: "))
      #expect(!files.has("small/out.jsonl") && files.has("small/out.jsonl.partial"))
      #expect(try shell("mount -o remount,size=8m \(mount)") == .exited(0))
      let more = try cairn(words)
      #expect(more.code == 0 && more.errors.contains("going on behind"), "\(more.errors)")
      #expect(try files.records("small/out.jsonl") == files.records("out.jsonl"))
    }

    @Test("a line of 100 MB is passed over in the memory of a short one, and what follows it is imported")
    func longLine() throws {
      let files = try BulkFiles("long-line")
      let long = Array("{\"key\":\"".utf8) + [UInt8](repeating: 0x61, count: 100_000_000) + Array("\"}\n".utf8)
      try files.write(long + Array("{\"key\":\"k\"}\n".utf8), to: "in.jsonl")
      // Nobody is there, so that the import waits and can be looked at.
      let unused = try Listener(on: SocketAddress(host: [127, 0, 0, 1], port: 0))
      let running = try RunningCommand(
        ["import", files.path("in.jsonl"), "--bucket", "b", "--line-max", "1MiB", "--url", "http://\(unused.address)"],
        name: "long-line")
      try eventually("the long line is behind it") {
        (files.checkpoint("in.jsonl.cairn-checkpoint", "rejected") ?? 0) == 1
      }
      #expect(files.checkpoint("in.jsonl.cairn-checkpoint", "offset") == long.count)
      let peak = try #require(peakBytes(running.identity.pid))
      #expect(peak < 64 << 20, "\(peak) bytes")
      running.identity.signal(.interrupt)
      #expect(try running.finish().end == .exited(130))
      let rejects = try files.text("in.jsonl.rejects")
      #expect(rejects.contains("\"line\":1,\"offset\":0,\"bytes\":100000011,\"key\":null") && rejects.utf8.count < 300)
    }

    /// The most memory that a process has held.
    private func peakBytes(_ pid: Int32) -> Int? {
      guard let status = try? FileTree.read("/proc/\(pid)/status", bytesMax: 1 << 16) else { return nil }
      let line = String(decoding: status, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
      return line.flatMap { Int($0.filter(\.isNumber)) }.map { $0 << 10 }
    }

    @Test("a pipe is gone on with behind what was imported of it, and another input is refused")
    func pipe() throws {
      try TestCluster.with("bulk-pipe") { cluster in
        let files = try BulkFiles("pipe")
        let lines = (0..<8000).map { "{\"key\":\"k\($0)\",\"value\":\"value \($0)\"}\n" }.joined()
        try files.write(Array(lines.utf8), to: "in")
        try files.write(Array(lines.replacing("value 0\"", with: "other 0\"").utf8), to: "other")
        let fifo = files.path("pipe.jsonl")
        #expect(try shell("mkfifo \(fifo)") == .exited(0))
        let words = ["import", fifo, "--bucket", "p", "--in-flight", "4", "--url", cluster.url(1)]
        /// Runs the import while something writes a file into the pipe.
        func run(_ name: String, from input: String, _ hurt: (RunningCommand) throws -> Void) throws -> CommandResult {
          let running = try RunningCommand(words, name: "bulk-pipe-" + name)
          var setting = ProcessSetting()
          setting.errorPath = "/dev/null"
          let writer = try spawn("/bin/sh", ["-c", "cat \(files.path(input)) > \(fifo)"], setting)
          defer { _ = endOfChild(writer.pid, wait: true) }
          try hurt(running)
          return try running.finish()
        }
        func imported() -> Int { files.checkpoint("pipe.jsonl.cairn-checkpoint", "imported") ?? 0 }
        let stopped = try run("stopped", from: "in") { running in
          try eventually("some records are in") { imported() > 0 }
          running.identity.signal(.interrupt)
        }
        #expect(stopped.end == .exited(130))
        #expect(imported() > 0 && imported() < 8000)
        let other = try run("other", from: "other") { _ in }
        #expect(other.code == 1 && other.errors.contains("is not the input that was imported"), "\(other.errors)")
        let rest = try run("rest", from: "in") { _ in }
        #expect(rest.code == 0 && rest.errors.contains("going on behind"), "\(rest.errors)")
        #expect(try cairn(["keys", "p", "--url", cluster.url(2)]).outputText.split(separator: "\n").count == 8000)
      }
    }
  }
}
