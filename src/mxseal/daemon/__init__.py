"""The long-lived part: `mxseal serve`.

    bytes → standards.socketmap → AnswerTable: request → reply, as long as it holds
                                       ↓ not there
                                  Answerer: overrides, then journeys.answer_mta
                                       ↓
                                  words for this MTA → table → reply

An answer that is ready is given in the callback in which the request comes:
no await, no parsing, no logging.  Everything else may take its time, and makes
nobody wait but the one who asks.

===============  =================================================================
module           what it does
===============  =================================================================
`answers`        the table of replies that are ready
`answering`      a question, however it came → what to say, and how long it holds
`counters`       what is counted, and how Prometheus reads it
`socketmap`      Postfix and Sendmail ask
`lines`          Exim asks: a line in, a line out
`http`           everybody else asks, and Prometheus
`control`        the administrator asks: dump, export, purge, refresh
`listeners`      sockets: TCP, unix, inherited from systemd
`systemd`        what systemd wants to know, and gives
`logs`           one line an event, on stderr
`service`        all of it together: start, reload, stop
===============  =================================================================
"""
