"""What people bring: networks, functions and scripts of their own, tried before they are used.

brought  the text of a module, loaded under the name of its content    check   a network, tried before it is listed
trial    what is tried of it                                           tried   a packaged network, run once
script   a script or command as a job                                  call    a function as a job
"""
