import Operations
import Testing

@Suite struct TableTests {
  static let table = Table(
    [
      TableColumn("ID"), TableColumn("FROM", shrinksTo: 8), TableColumn("SECONDS", .right),
      TableColumn("STATE"),
    ],
    rows: [
      ["01", "user:alice", "7", TableCell("answered", .good)],
      ["02", "trunk:a-carrier-with-a-long-name", "1234", ""],
    ])

  @Test func columnsAreAligned() {
    #expect(
      Self.table.render(on: Terminal()) == """
        ID  FROM                              SECONDS  STATE
        01  user:alice                              7  answered
        02  trunk:a-carrier-with-a-long-name     1234

        """)
  }

  @Test func theWidestColumnGivesWay() {
    #expect(
      Self.table.render(on: Terminal(width: 40)) == """
        ID  FROM               SECONDS  STATE
        01  user:alice               7  answered
        02  trunk:a-carrier-…     1234

        """)
    let narrow = Self.table.render(on: Terminal(width: 10, unicode: false))
    #expect(narrow.contains("trunk:a~"))
  }

  @Test func colourIsOnlyForTerminals() {
    #expect(Self.table.render(on: Terminal(colours: true)).contains("\u{1b}[32manswered\u{1b}[0m"))
    #expect(!Self.table.render(on: Terminal()).contains("\u{1b}"))
  }

  @Test func valuesOfPeersStayInTheirCell() {
    let table = Table([TableColumn("A")], rows: [["x\u{1b}[2J\n\u{202e}y"], [], ["z", "more"]])
    #expect(table.render(on: Terminal()) == "A\nx?[2J??y\n\nz\n")
  }

  @Test func aSheetLeavesOutWhatIsNotThere() {
    var sheet = Sheet()
    sheet.add("id", "7")
    sheet.add("answered", nil)
    sheet.add("released by", TableCell("caller"))
    #expect(sheet.render(on: Terminal()) == "id           7\nreleased by  caller\n")
  }
}
