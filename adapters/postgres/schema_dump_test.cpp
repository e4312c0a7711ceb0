#include "adapters/postgres/schema_dump.hpp"

#include <sstream>

#include <gtest/gtest.h>

namespace antipode::postgres {
namespace {

constexpr const char* post_data = R"(-- PostgreSQL database dump
\restrict abc
SET statement_timeout = 0;
--
-- Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: app
--
ALTER TABLE ONLY public.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
--
-- Name: c c_t_fkey; Type: FK CONSTRAINT; Schema: public; Owner: app
--
ALTER TABLE ONLY public.c ADD CONSTRAINT c_t_fkey FOREIGN KEY (t) REFERENCES public.t(id);
--
-- Name: CONSTRAINT c_t_fkey ON c; Type: COMMENT; Schema: public; Owner: app
--
COMMENT ON CONSTRAINT c_t_fkey ON public.c IS 'why';
--
-- Name: t note; Type: TRIGGER; Schema: public; Owner: app
--
CREATE TRIGGER note AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.note();
--
-- Name: antipode_ddl; Type: EVENT TRIGGER; Schema: -; Owner: postgres
--
CREATE EVENT TRIGGER antipode_ddl ON ddl_command_end EXECUTE FUNCTION antipode.capture_ddl();
--
-- Name: FUNCTION pg_logical_emit_message(boolean, text, text); Type: ACL; Schema: pg_catalog; O: p
--
REVOKE ALL ON FUNCTION pg_catalog.pg_logical_emit_message(boolean, text, text) FROM PUBLIC;
GRANT ALL ON FUNCTION pg_catalog.pg_logical_emit_message(boolean, text, text) TO capture;
\unrestrict abc
)";

std::string statements_of(SchemaSection section) {
    SectionFilter filter(section);
    std::istringstream lines(post_data);
    std::string kept;
    for (std::string line; std::getline(lines, line);) {
        if (filter.keep(line) && !line.starts_with("--")) {
            kept += line.substr(0, line.find(' ', line.find(' ') + 1)) + ";";
        }
    }
    return kept;
}

TEST(SectionFilter, TellsForeignKeysAndTheirCommentsFromTheRest) {
    EXPECT_EQ(statements_of(SchemaSection::After),
              "SET statement_timeout;ALTER TABLE;CREATE TRIGGER;REVOKE ALL;");
    EXPECT_EQ(statements_of(SchemaSection::Finish),
              "SET statement_timeout;ALTER TABLE;COMMENT ON;");
    EXPECT_EQ(statements_of(SchemaSection::Before),
              "SET statement_timeout;ALTER TABLE;ALTER TABLE;COMMENT ON;CREATE TRIGGER;"
              "REVOKE ALL;");
}

}  // namespace
}  // namespace antipode::postgres
