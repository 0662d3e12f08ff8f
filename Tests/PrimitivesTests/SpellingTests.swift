import Primitives
import Testing

@Suite struct SpellingTests {
  @Test("the nearest word is named only when it is near")
  func nearestWord() {
    let words = ["local", "node", "put", "get", "delete", "ring"]
    #expect(nearest(to: "locla", among: words) == "local")
    #expect(nearest(to: "delte", among: words) == "delete")
    #expect(nearest(to: "pt", among: words) == "put")
    #expect(nearest(to: "--ur", among: ["--pr", "--url"]) == "--url")
    #expect(nearest(to: "frobnicate", among: words) == nil)
  }

  @Test("a swap of neighbours is one mistake, and the first of equals is named")
  func swaps() {
    #expect(nearest(to: "sycn", among: ["sync", "size"]) == "sync")
    #expect(nearest(to: "abx", among: ["abz", "aby"]) == "aby")
    #expect(nearest(to: "", among: ["a"]) == nil)
    #expect(nearest(to: "x", among: []) == nil)
  }

  @Test("a word that is too long to be a mistake is compared with nothing")
  func long() {
    let name = String(repeating: "a", count: 64)
    #expect(nearest(to: name, among: [name + "b"]) == name + "b")
    #expect(nearest(to: name + "a", among: [name]) == nil)
  }
}
