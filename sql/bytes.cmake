# The bytes of a file as elements of a C array, with a zero at the end.
function(bytes_of path result)
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" hex "${hex}")
  set(${result} "${hex}0" PARENT_SCOPE)
endfunction()
