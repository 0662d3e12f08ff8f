import Platform
import Replication
import Testing

// Docs/Delete.md says of every reason that keeps a tombstone what to do, in the order in which they are told.

@Suite struct ReasonDocumentTests {
  @Test("the page about deletes has a row for every reason that keeps a tombstone, in their order")
  func rows() throws {
    var root = #filePath[...]
    for _ in 0..<3 { root = root[..<(root.lastIndex(of: "/") ?? root.startIndex)] }
    let page = String(decoding: try FileTree.read("\(root)/Docs/Delete.md", bytesMax: 1 << 20), as: UTF8.self)
    let section = page.split(separator: "\n## ").first { $0.hasPrefix("Why a tombstone is still there") } ?? ""
    let rows = section.matches(of: /\n\| `(\w+)` \|/).map { String($0.output.1) }
    #expect(rows == TombstoneBlocker.Kind.allCases.map(\.rawValue))
  }
}
